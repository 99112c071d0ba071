"""Models of the product: accounts, catalog, documents, block variants and leaderboard."""

from yapit.models.accounts import ApiKey, Preferences, Profile
from yapit.models.documents import Block, Document, Playback, Section
from yapit.models.leaderboard import LeaderboardDay, LeaderboardRow
from yapit.models.operations import Cache, DeadLetter
from yapit.models.speech import BlockVariant, TTSModel, Voice

__all__ = [
    "ApiKey",
    "Block",
    "BlockVariant",
    "Cache",
    "DeadLetter",
    "Document",
    "LeaderboardDay",
    "LeaderboardRow",
    "Playback",
    "Preferences",
    "Profile",
    "Section",
    "TTSModel",
    "Voice",
    "accounts",
    "documents",
    "leaderboard",
]
