"""What a source loses before anything reads it: what PostgreSQL, a page or an engine cannot take."""

import functools
import re
import unicodedata

# Unicode's own stream-safe limit. NFC sorts a run of marks by insertion: 500,000 of them take minutes.
MARKS_IN_A_ROW = 30

_LINE_ENDS = re.compile("\r\n|[\r\v\x1c-\x1e\x85\u2028\u2029]")
_PAGE_BREAK = re.compile("\f")
# Controls, lone surrogates, non-characters, the soft hyphen, the byte order mark, and the marks that
# turn the direction of the page around the document.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_SPACES = re.compile(r"\s+")


def clean(source: str) -> str:
    """The text in NFC, with `\\n` as its only line end and without what cannot be stored or shown."""
    text = _UNWANTED.sub("", _PAGE_BREAK.sub("\n\n", _LINE_ENDS.sub("\n", source)))
    return unicodedata.normalize("NFC", _too_many_marks().sub(r"\1", text))


def one_line(text: str) -> str:
    """The same for a piece of a line, such as one that an entity (`&#0;`) may have smuggled in."""
    return _SPACES.sub(" ", text if text.isascii() and text.isprintable() else clean(text))


@functools.cache
def _too_many_marks() -> re.Pattern[str]:
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.combining(c))
    return re.compile(f"([{marks}]{{{MARKS_IN_A_ROW}}})[{marks}]+")
