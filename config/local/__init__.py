"""The stack on one machine: private PostgreSQL and Valkey from wheels, supervisor, state folder. No settings.

`run_stack` runs it before settings can be complete, and tests start the servers from it.
"""

__all__ = ["leftovers", "postgres", "program", "stack", "state", "supervisor", "valkey", "watchdog"]
