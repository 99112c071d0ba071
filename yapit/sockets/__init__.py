"""Sockets: the WebSocket consumers of Channels."""

__all__ = ["events_socket", "synthesis_socket"]
