"""Whether stored bytes are what they should be."""

import hashlib

from audiocache import blob


def header_fits(meta: bytes, sha256: bytes) -> bool:
    """Whether a header is whole and speaks of this audio."""
    try:
        return blob.front_of(meta).sha256 == sha256
    except blob.BadBlob:
        return False


def is_whole(meta: bytes, sha256: bytes, audio: bytes | None) -> bool:
    """Whether header and audio are both there and undamaged."""
    return audio is not None and header_fits(meta, sha256) and hashlib.sha256(audio).digest() == sha256
