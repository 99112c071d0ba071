"""Redis: the address, clients, connections of asyncio, scripts, and transient errors."""

__all__ = [
    "address",
    "blob_reader",
    "clients",
    "keys",
    "layout",
    "multiplexed",
    "pipeline",
    "scripts",
    "transient",
    "transport",
]
