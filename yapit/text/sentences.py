"""Sentence boundaries in any script: the sentencex library on bounded windows."""

import re
from collections.abc import Iterator

import sentencex

# sentencex takes quadratic time for text beyond ASCII (14 s for 250,000 characters of Chinese at once, 0.1 s
# in windows).
WINDOW = 1_000

# Abbreviations and the Greek question mark depend on the language, which the script identifies well enough.
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u4e00-\u9fff\u3400-\u4dbf]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "el": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "hy": re.compile("[\u0530-\u058f]"),
}


def sentence_ends(text: str) -> list[int]:
    """The offsets after each sentence and the space that follows it; the last one is the text's length."""
    return [end for end, _ in sentences(text)]


def sentences(text: str) -> Iterator[tuple[int, bool]]:
    """Like `sentence_ends`, each with False if a sentence longer than a window is cut there."""
    start = 0
    while start < len(text):
        window = text[start : start + WINDOW]
        ends = _ends_in(window)
        is_cut = start + WINDOW < len(text) and _drop_incomplete(window, ends)
        for end in ends:
            yield start + end, not (is_cut and end == ends[-1])
        start += ends[-1]


def _drop_incomplete(window: str, ends: list[int]) -> bool:
    """Leave the last, perhaps incomplete sentence to the next window, or cut a long one between words.

    Returns whether a sentence was cut.
    """
    previous = ends[-2] if len(ends) > 1 else 0
    if previous > WINDOW // 2:
        ends.pop()
        return False
    space = window.rfind(" ", previous)
    ends[-1] = space + 1 if space > previous else len(window)
    return True


def _ends_in(window: str) -> list[int]:
    ends = []
    position = 0
    for sentence in sentencex.segment(_language_of(window), window):
        position += len(sentence)
        ends.append(position)
    return ends


def _language_of(text: str) -> str:
    if text.isascii():
        return "en"
    for language, script in _SCRIPTS.items():
        # Japanese mixes syllables with Chinese characters, so a lower share of syllables is enough.
        if len(script.findall(text)) * (8 if language == "ja" else 2) > len(text):
            return language
    return "en"
