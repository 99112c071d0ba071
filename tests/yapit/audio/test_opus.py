"""The Opus encoder and the Ogg parser: exact length, reproducible bytes, refused input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.yapit.audio.ogg_decoding import declared_samples, decoded_samples
from yapit import ogg
from yapit.audio import opus


def sine(count):
    return (0.3 * np.sin(np.arange(count) * 0.08)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60_000))
def test_the_decoded_length_equals_the_encoded_length(count):
    audio = opus.encode(sine(count))

    assert decoded_samples(audio) == declared_samples(audio) == count


def test_the_same_samples_give_the_same_bytes():
    assert opus.encode(sine(30_000)) == opus.encode(sine(30_000))


def test_sixteen_bit_samples_are_encoded_unchanged():
    samples = sine(30_000)

    assert opus.encode((samples * 32767).astype(np.int16)) == opus.encode(samples)


def test_pages_are_numbered_and_name_no_encoder_version():
    pages = list(ogg.pages(opus.encode(sine(90_000))))

    assert [page.number for page in pages] == list(range(len(pages)))
    assert {page.serial for page in pages} == {0}
    assert pages[0].body.startswith(b"OpusHead")
    assert b"Lavf" not in pages[1].body


def test_loud_samples_are_clipped():
    assert opus.encode(sine(9600) * 100) == opus.encode(np.clip(sine(9600) * 100, -1, 1))


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.full(10, np.nan), np.full(10, np.inf), np.zeros((2, 10))]
)
def test_samples_that_are_not_audio_are_refused(samples):
    with pytest.raises(opus.EncodingError):
        opus.encode(samples.astype(np.float32))


def test_an_error_of_the_encoder_is_an_encoding_error():
    with pytest.raises(opus.EncodingError):
        opus.encode(sine(2400), bit_rate=-5)


@pytest.mark.parametrize(("samples", "expected"), [(24_000, 1000), (24, 1), (13, 1), (11, 0)])
def test_milliseconds_are_rounded(samples, expected):
    assert opus.milliseconds(samples) == expected


@settings(max_examples=50)
@given(st.data())
def test_a_damaged_page_is_detected(data):
    audio = bytearray(opus.encode(sine(4800)))
    audio[data.draw(st.integers(0, len(audio) - 1))] ^= 0x55

    with pytest.raises(ogg.BadOgg):
        list(ogg.pages(bytes(audio)))


def test_parsed_pages_encode_to_the_same_bytes():
    audio = opus.encode(sine(90_000))

    assert b"".join(page.encoded() for page in ogg.pages(audio)) == audio
