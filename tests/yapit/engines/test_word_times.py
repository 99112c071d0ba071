"""Alignment of words as spoken with the words of the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yapit.engines.word_times import spans_of_words


def timed(words, spoken, silent=()):
    """Each spoken word takes ten units, after a pause of two."""
    spans = [None if word in silent else (12 * n + 2, 12 * n + 12) for n, word in enumerate(spoken.split())]
    return spans_of_words(words.split(), spoken.split(), spans)


@pytest.mark.parametrize(
    ("words", "spoken", "expected"),
    [
        ("one two", "one two", [("one", (2, 12)), ("two", (14, 24))]),
        ("it’s so", "it's so", [("it’s", (2, 12)), ("so", (14, 24))]),
        ("has 42 cats", "has forty two cats", [("has", (2, 12)), ("42", (14, 36)), ("cats", (38, 48))]),
        ("Dr. No", "Doctor No", [("Dr.", (2, 12)), ("No", (14, 24))]),
        ("at 7:30 pm", "at seven thirty P.M.", [("at", (2, 12)), ("7:30", (14, 36)), ("pm", (36, 48))]),
        ("and — so", "and so", [("and", (2, 12)), ("so", (14, 24))]),
        ("5 > 3", "five is greater than three", [("5", (2, 31)), ("3", (31, 60))]),
        ("", "", []),
        ("gone", "", []),
        ("", "added", []),
    ],
)
def test_words_of_the_text_get_the_times_of_the_spoken_words(words, spoken, expected):
    assert timed(words, spoken) == expected


def test_a_word_without_sound_is_left_out():
    assert timed("one 你好 two", "one 你好 two", silent=["你好"]) == [("one", (2, 12)), ("two", (26, 36))]


def test_a_word_expanded_to_silent_words_is_left_out():
    assert timed("one 1️⃣ two", "one x y two", silent=["x", "y"]) == [("one", (2, 12)), ("two", (38, 48))]


WORDS = st.lists(st.sampled_from(["a", "bb", "—", "1", "’"]), max_size=12).map(" ".join)


@given(WORDS, WORDS, st.sets(st.sampled_from(["a", "1"])))
def test_times_are_monotonic_and_words_keep_their_order(words, spoken, silent):
    result = timed(words, spoken, silent)

    moments = [moment for _, span in result for moment in span]
    remaining = iter(words.split())
    assert moments == sorted(moments)
    assert all(word in remaining for word, _ in result)
