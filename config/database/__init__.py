"""Database access: raw SQL, many rows per statement, threads for async callers, and the SQLite library."""

__all__ = ["columns", "offload", "rows", "sqlite"]
