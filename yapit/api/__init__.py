"""HTTP API under /v1: views that translate requests and delegate to services."""

__all__ = ["app", "audio", "http"]
