"""Cleaning of source text: removes characters that PostgreSQL, a page or an engine cannot take."""

import functools
import re
import unicodedata

# The limit of Unicode's stream-safe format. NFC sorts a run of marks by insertion: 500,000 take minutes.
MARKS_IN_A_ROW = 30

_LINE_ENDS = re.compile("\r\n|[\r\v\x1c-\x1e\x85\u2028\u2029]")
_PAGE_BREAK = re.compile("\f")
# Controls, lone surrogates, non-characters, the soft hyphen, the byte order mark, and the controls that
# override the direction of text.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_SPACES = re.compile(r"\s+")


def clean(source: str) -> str:
    """The text in NFC, with `\\n` as its only line end and without characters that cannot be stored."""
    text = _UNWANTED.sub("", _PAGE_BREAK.sub("\n\n", _LINE_ENDS.sub("\n", source)))
    return unicodedata.normalize("NFC", _too_many_marks().sub(r"\1", text))


def one_line(text: str) -> str:
    """Clean a part of a line, to which an entity such as `&#0;` may have added such characters."""
    return _SPACES.sub(" ", text if text.isascii() and text.isprintable() else clean(text))


@functools.cache
def _too_many_marks() -> re.Pattern[str]:
    marks = "".join(c for c in map(chr, range(0x300, 0x1F000)) if unicodedata.combining(c))
    return re.compile(f"([{marks}]{{{MARKS_IN_A_ROW}}})[{marks}]+")
