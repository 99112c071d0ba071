"""ASGI servers: Daphne and uvicorn with the same limits, guards and drain, and security headers."""

__all__ = ["daphne", "drain", "frames", "guards", "security_headers", "uvicorn"]
