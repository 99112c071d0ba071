"""Private PostgreSQL and Valkey, from wheels. Imports no settings: it runs before there are any."""
