"""Synthesis: job specs of blocks, their look-up in caches and stores, credit, and warming."""

__all__ = [
    "access_log",
    "block_cache",
    "credit",
    "lookup",
    "speech_handler",
    "speech_job",
    "variants",
    "voice_gains",
    "warming",
]
