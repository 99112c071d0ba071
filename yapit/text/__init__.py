"""Text -> blocks: what is spoken of a document, and what of it is shown. Imports no Django."""

from yapit.text.output import ESTIMATED_CHARACTERS_PER_SECOND, Section, Transformed, estimate_ms
from yapit.text.transform import to_blocks

__all__ = [
    "ESTIMATED_CHARACTERS_PER_SECOND",
    "Section",
    "Transformed",
    "estimate_ms",
    "to_blocks",
]
