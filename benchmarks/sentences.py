"""Random sentences. Needs no Django."""

import random

WORDS = """
    morning harbour letter window river silver garden quiet stone paper winter story market bridge
    little yellow distant gentle across before under behind carries follows reaches remembers
    a the an old new our their many some every one day night light water voice summer road
""".split()  # noqa: SIM905  # readable


def make_sentence(chance: random.Random, length: int) -> str:
    """A random sentence of exactly `length` characters."""
    while True:
        words: list[str] = []
        while len(" ".join(words)) < length - 1:
            words.append(chance.choice(WORDS))
        text = " ".join(words).capitalize() + "."
        if len(text) == length:
            return text
