"""Observability: logs, metrics, health checks and progress bars."""

__all__ = ["health", "logging", "metrics", "progress"]
