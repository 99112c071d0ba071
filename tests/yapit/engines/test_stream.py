"""Streams of engines: complete, silent, empty, incomplete."""

import numpy as np
import pytest

from yapit.engines import END, BrokenStream, Chunk, EncodedFile, EngineError, Word, read_stream

HALF_SECOND = Chunk(np.zeros(12_000, np.float32), 24_000, (Word("one", 0, 500),))


def raising(error, *before):
    yield from before
    raise error


def test_chunks_and_words_are_collected_until_the_end():
    spoken = read_stream([HALF_SECOND, HALF_SECOND, END])

    assert len(spoken.chunks) == 2
    assert [word.text for word in spoken.words] == ["one", "one"]


def test_a_finished_file_is_kept_with_its_words():
    spoken = read_stream([EncodedFile(b"OggS", (Word("one", 0, 1),)), END])

    assert (spoken.file.audio, len(spoken.words), spoken.chunks) == (b"OggS", 1, [])


def test_an_end_alone_is_a_text_without_sound():
    spoken = read_stream([END])

    assert (spoken.chunks, spoken.file, spoken.words) == ([], None, [])


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        ([], "engine_empty"),
        ([HALF_SECOND], "engine_incomplete"),
        (raising(ConnectionError(), HALF_SECOND), "engine_incomplete"),
    ],
)
def test_a_stream_without_its_end_is_broken(stream, code):
    with pytest.raises(BrokenStream) as caught:
        read_stream(stream)

    assert caught.value.code == code


def test_an_exception_before_the_first_chunk_reaches_the_caller():
    with pytest.raises(ConnectionError):
        read_stream(raising(ConnectionError()))


def test_an_error_of_the_text_is_final_also_after_a_chunk():
    with pytest.raises(EngineError):
        read_stream(raising(EngineError("no", "bad_text"), HALF_SECOND))


def test_a_stream_that_does_not_end_is_refused():
    def endless():
        while True:
            yield Chunk(np.zeros(2_400_000, np.int8), 24_000)

    with pytest.raises(EngineError) as caught:
        read_stream(endless())

    assert caught.value.code == "audio_too_large"
