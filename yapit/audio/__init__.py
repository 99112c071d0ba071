"""Audio formats: the Ogg container and the Opus encoder. Knows no engine and no Django."""

from yapit.audio import ogg, opus

__all__ = ["ogg", "opus"]
