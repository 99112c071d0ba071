"""The estimate of speaking time."""

from yapit.text import ESTIMATED_CHARACTERS_PER_SECOND, estimate_ms


def test_the_estimate_is_proportional_to_the_letters():
    assert estimate_ms("a" * ESTIMATED_CHARACTERS_PER_SECOND) == 1000


def test_a_chinese_character_takes_longer_than_a_letter():
    assert estimate_ms("今天") == 3 * estimate_ms("to")
