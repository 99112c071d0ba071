"""How long a text will probably take."""

from yapit.text import ESTIMATED_CHARACTERS_PER_SECOND, estimate_ms


def test_letters_take_their_share_of_a_second():
    assert estimate_ms("a" * ESTIMATED_CHARACTERS_PER_SECOND) == 1000


def test_a_chinese_character_takes_longer_than_a_letter():
    assert estimate_ms("今天") == 3 * estimate_ms("to")
