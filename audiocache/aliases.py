"""Aliases of the audio stores. The settings name them, in AUDIO_STORES and AUDIO_ALIAS only."""

from django.conf import settings

ALL: tuple[str, ...] = tuple(settings.AUDIO_STORES)
AUDIO: str = settings.AUDIO_ALIAS  # of the store for the audio of blocks
