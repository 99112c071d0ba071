"""Variant hash: equal for equal inputs, different for different ones, and stable."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yapit.variant_hash import variant_hash

texts = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
fields = st.fixed_dictionaries(
    {
        "text": st.text(alphabet="abc\0", max_size=8),
        "model": texts,
        "voice": texts,
        "parameters": st.dictionaries(texts, values, max_size=3),
        "revision": texts,
        "codec": texts,
    }
)


def hash_of(text="Hello.", **changed):
    same = {"model": "tone", "voice": "sine", "parameters": {"speed": 1}, "revision": "1", "codec": "opus"}
    return variant_hash(text, **same | changed)


def typed(value):
    """The equality that the hash promises: numbers by value, everything else by type and value."""
    if isinstance(value, dict):
        return "map", tuple(sorted((name, typed(item)) for name, item in value.items()))
    if isinstance(value, list):
        return "list", tuple(map(typed, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", value
    return type(value).__name__, value


@given(fields, fields)
def test_hashes_are_equal_exactly_if_all_parts_are(one, other):
    are_same = all(typed(one[name]) == typed(other[name]) for name in one)

    assert (variant_hash(**one) == variant_hash(**other)) == are_same


@given(texts, texts, texts)
def test_boundaries_between_parts_matter(one, two, three):
    apart = hash_of(model=one, voice=two + three)
    shifted = hash_of(model=one + two, voice=three)

    assert (apart == shifted) == (two == "")


def test_the_hash_is_a_sha256_and_does_not_change():
    """A changed value means that all stored audio is synthesized again."""
    assert hash_of() == "0fa35f24aa3b2e46d453229a1f1492ceca69925154210e753f29a4c145928434"
    assert len(hash_of()) == hashlib.sha256().digest_size * 2


def test_composed_and_decomposed_text_have_the_same_hash():
    assert hash_of("caf\u00e9") == hash_of("cafe\u0301")


def test_the_order_of_parameters_does_not_matter():
    assert hash_of(parameters={"a": 1, "b": 2}) == hash_of(parameters={"b": 2, "a": 1})


@pytest.mark.parametrize(("one", "same"), [(1, 1.0), (0, -0.0), (10**22, 1e22)])
def test_numbers_are_compared_by_value(one, same):
    assert hash_of(parameters={"speed": one}) == hash_of(parameters={"speed": same})


def test_numbers_texts_and_booleans_are_different_parameters():
    alike = [1, "1", True, [1], {"1": 1}, "true", None, "null", 1.5, "1.5", "n1"]

    assert len({hash_of(parameters={"x": value}) for value in alike}) == len(alike)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), b"bytes", {1: 2}, object()])
def test_a_parameter_without_a_canonical_form_is_refused(wrong):
    with pytest.raises(ValueError, match="parameter"):
        hash_of(parameters={"x": wrong})
