"""Audio: the canonical form of stored audio. Cuts silence, levels, encodes, validates and joins.

Importing this package imports neither numpy nor PyAV, since web processes need the name of the codec only.
"""

from yapit.audio import opus

__all__ = ["joining", "loudness", "opus", "rendering", "validation"]
