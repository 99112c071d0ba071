"""Validation of finished files in canonical form. Pure, and cheap enough for every block of a busy worker."""

from yapit import ogg
from yapit.audio.opus import OPUS_RATE

LONGEST_PAGE = ogg.HEADER + 255 + 255 * 255


class NotCanonical(ValueError):
    """Not one whole mono Ogg Opus file."""


def duration_ms(audio: bytes) -> int:
    """The duration by the container. Raises NotCanonical.

    Reads the header and the last page. The pages between them are the engine's business: checking 100 KB of
    checksums takes longer than all other work on a block.
    """
    try:
        first, _ = ogg.page_at(audio, 0)
        last, end = ogg.page_at(audio, audio.rindex(ogg.MAGIC, max(0, len(audio) - LONGEST_PAGE)))
    except ValueError as error:
        raise NotCanonical("not an Ogg file") from error
    head = first.body
    if len(head) < 19 or not head.startswith(b"OpusHead\x01") or head[9] != 1:
        raise NotCanonical("not a mono Opus stream")
    if end != len(audio) or not last.flags & ogg.LAST_PAGE or last.serial != first.serial:
        raise NotCanonical("the file is not whole")
    length = last.granule - int.from_bytes(head[10:12], "little")
    if length <= 0:
        raise NotCanonical("the file has no audio")
    return round(length * 1000 / OPUS_RATE)
