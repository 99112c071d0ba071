"""Realtime: notifications of finished blocks, and the requests of connections that wait for them."""

__all__ = ["background", "notifications", "session", "synthesize_once"]
