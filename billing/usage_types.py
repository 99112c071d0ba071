"""Usage types and the length limits of names in billing's columns. Pure."""

from enum import StrEnum

LONGEST_SLUG = 200
LONGEST_FOREIGN_ID = 255  # ids that other systems choose, such as those of payments


class UsageType(StrEnum):
    """Units that are charged; each has a limit and balances of its own.

    Speech is charged in standard or premium characters, reading of scanned pages in OCR tokens.
    """

    STANDARD = "standard"
    PREMIUM = "premium"
    OCR = "ocr"


SPEECH_TYPES = (UsageType.STANDARD, UsageType.PREMIUM)
USAGE_TYPE_CHOICES = [(usage_type.value, usage_type.value) for usage_type in UsageType]
