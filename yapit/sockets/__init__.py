"""Sockets: the WebSocket consumers of Channels."""

__all__ = ["synthesis_socket"]
