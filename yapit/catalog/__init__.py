"""Catalog: models and voices, their resolution for a request, and access to them."""

__all__ = [
    "previews",
    "resolution",
    "voice_access",
    "voices",
]
