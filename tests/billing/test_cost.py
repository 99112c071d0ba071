"""Prices in characters."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.cost import cost

COUNTS = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize(
    ("characters", "multiplier_bp", "expected"),
    [(0, 10_000, 0), (100, 10_000, 100), (100, 11_500, 115), (1, 1, 1), (3, 3_333, 1), (7, 0, 0)],
)
def test_cost_is_characters_times_multiplier_rounded_up(characters, multiplier_bp, expected):
    assert cost(characters, multiplier_bp) == expected


@given(COUNTS, COUNTS)
def test_cost_agrees_with_exact_fractions(characters, multiplier_bp):
    assert cost(characters, multiplier_bp) == ceil(Fraction(characters * multiplier_bp, 10_000))
