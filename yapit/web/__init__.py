"""Pages for listeners: the reader, log-in, settings and usage, with their templates and static files."""

__all__ = ["pages"]
