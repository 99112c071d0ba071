"""Ogg pages: parser, checksum and comment page. Pure."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"OggS"
HEADER = 27  # bytes before the segment table
LAST_PAGE = 0x04
_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class BadOgg(ValueError):
    """Not a sequence of whole Ogg pages."""


@dataclass(frozen=True, slots=True)
class OggPage:
    flags: int
    granule: int  # 48 kHz samples up to the end of this page, pre-skip included
    serial: int
    number: int
    segments: bytes
    body: bytes

    def encoded(self) -> bytes:
        head = b"".join(
            (
                MAGIC,
                bytes([0, self.flags]),
                self.granule.to_bytes(8, "little", signed=True),
                self.serial.to_bytes(4, "little"),
                self.number.to_bytes(4, "little"),
                bytes(4),
                bytes([len(self.segments)]),
                self.segments,
            )
        )
        sum_ = page_sum(head + self.body).to_bytes(4, "little")
        return head[:22] + sum_ + head[26:] + self.body


def page_sum(page: bytes) -> int:
    """CRC-32 in Ogg's bit order, of a page with a zeroed checksum field.

    Computed with zlib, which takes the bits of each byte and of the sum in reverse order.
    """
    mirrored = zlib.crc32(page.translate(_MIRROR), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRROR))


def pages(data: bytes) -> Iterator[OggPage]:
    """The pages of a file in order. Raises BadOgg where it is damaged or truncated."""
    start = 0
    while start < len(data):
        page, start = page_at(data, start)
        yield page


def page_at(data: bytes, start: int) -> tuple[OggPage, int]:
    """The page that begins at `start`, and its end. Raises BadOgg."""
    head = data[start : start + HEADER]
    if len(head) < HEADER or not head.startswith(MAGIC):
        raise BadOgg("no page here")
    table_end = start + HEADER + head[26]
    segments = data[start + HEADER : table_end]
    end = table_end + sum(segments)
    whole = data[start:end]
    if end > len(data) or page_sum(whole[:22] + bytes(4) + whole[26:]) != int.from_bytes(
        head[22:26], "little"
    ):
        raise BadOgg("a damaged page")
    page = OggPage(
        flags=head[5],
        granule=int.from_bytes(head[6:14], "little", signed=True),
        serial=int.from_bytes(head[14:18], "little"),
        number=int.from_bytes(head[18:22], "little"),
        segments=segments,
        body=data[table_end:end],
    )
    return page, end


def tags_page(serial: int, comment: str) -> bytes:
    """The second page of an Ogg Opus file, with one short comment ("NAME=value")."""
    vendor, text = b"yapit", comment.encode()
    parts = (b"OpusTags", _sized(vendor), (1).to_bytes(4, "little"), _sized(text))
    body = b"".join(parts)
    segments = bytes([255] * (len(body) // 255) + [len(body) % 255])
    return OggPage(0, 0, serial, 1, segments, body).encoded()


def _sized(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text
