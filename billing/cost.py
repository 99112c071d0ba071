"""Price of speech in characters. Integers only: in floats, 100 x 1.15 is 114."""

BASIS_POINTS = 10_000


def cost(characters: int, multiplier_bp: int) -> int:
    """Characters to charge: code points times the multiplier in basis points, rounded up."""
    return -(-characters * multiplier_bp // BASIS_POINTS)
