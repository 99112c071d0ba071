"""Text transformation: Markdown or plain text to blocks (spoken) and sections (shown). Imports no Django."""

from yapit.text import pauses
from yapit.text.cleaning import clean, one_line
from yapit.text.output import ESTIMATED_CHARACTERS_PER_SECOND, Section, Transformed, estimate_ms
from yapit.text.transform import to_blocks

__all__ = [
    "ESTIMATED_CHARACTERS_PER_SECOND",
    "Section",
    "Transformed",
    "clean",
    "estimate_ms",
    "one_line",
    "pauses",
    "to_blocks",
]
