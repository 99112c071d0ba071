"""Management commands of the web process, the stack and the Redis layout."""
