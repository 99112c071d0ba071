"""What a piece of speech costs. Integers only: a float says 114 for 100 x 1.15."""

BASIS_POINTS = 10_000


def cost(characters: int, multiplier_bp: int) -> int:
    """Characters to charge: code points times the multiplier in basis points, rounded up once."""
    return -(-characters * multiplier_bp // BASIS_POINTS)
