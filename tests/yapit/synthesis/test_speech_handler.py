"""The handler of speech jobs: engine, audio room and blob, and every way in which a stream can end."""

import numpy as np
import pytest
from django.core.management.base import CommandError

from audiocache import blob
from tests.yapit.audio.ogg_decoding import heard
from tests.yapit.jobs.job_steps import make_spec
from yapit.audio import loudness, opus, rendering
from yapit.engines import END, Capabilities, Chunk, EncodedFile, VoiceSpec, Word
from yapit.engines.tone.noise import noise_file
from yapit.jobs import AttemptFailed, Claimed
from yapit.synthesis.speech_handler import SpeechHandler

RATE = 24_000


def tone(milliseconds, amplitude=0.1):
    samples = amplitude * np.sin(np.arange(milliseconds * 24) * (2 * np.pi * 440 / RATE))
    return samples.astype(np.float32)


class Scripted:
    """An engine that yields what it is given. Speaks a quiet tone as its introduction."""

    revision = "scripted-1"

    def __init__(self, slug, *, items=(), encoded=False, concurrency=1):
        self.slug, self.items = slug, items
        self.capabilities = Capabilities(
            languages=frozenset(), encoded=encoded, word_timings=True, concurrency=concurrency
        )
        self.texts = []

    def check(self):
        return None

    def voices(self):
        return (VoiceSpec("plain", "Plain", "en", "none"), VoiceSpec("german", "German", "de", "none"))

    def warm(self):
        pass

    def synthesize(self, text, voice, options):
        self.texts.append(text)
        if text != "text":
            yield Chunk(tone(1000), RATE)
            yield END
            return
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item


class Missing(Scripted):
    def check(self):
        return "The model file is not there."


def entry(engine=Scripted, **options):
    return {"class": f"{__name__}.{engine.__name__}", "options": options}


@pytest.fixture
def make_handler(settings, redis):
    def make(*items, **options):
        settings.ENGINES = {"scripted": entry(items=items, **options)}
        return SpeechHandler("scripted")

    return make


def job(codec=opus.CODEC, revision="scripted-1", voice="plain", params="{}"):
    spec = make_spec("text", voice=voice, params=params, revision=revision, codec=codec)
    return Claimed("j", spec.job, attempt=1)


def with_silence(*words):
    silence = np.zeros(300 * 24, np.float32)
    return Chunk(np.concatenate([silence, tone(1000), silence]), RATE, words)


def test_speech_is_trimmed_and_levelled_and_its_words_are_shifted(make_handler):
    handler = make_handler(with_silence(Word("all", 300, 700), Word("said", 700, 1300)), END)

    header, audio = blob.split(handler.handle(job()).blob)

    samples = heard(bytes(audio))
    assert header.duration_ms == pytest.approx(1075, abs=2)
    assert header.words == (("all", 15, 415), ("said", 415, 1015))
    assert loudness.integrated(samples, RATE) == pytest.approx(-18, abs=0.5)


def test_a_job_from_before_the_update_gets_the_audio_that_its_hash_names(make_handler):
    chunk = with_silence(Word("all", 300, 700))
    handler = make_handler(chunk, END)

    header, audio = blob.split(handler.handle(job(codec=opus.UNTRIMMED_CODEC)).blob)

    assert bytes(audio) == opus.encode(chunk.samples)
    assert (header.duration_ms, header.words) == (1600, (("all", 300, 700),))


@pytest.mark.parametrize("change", [{"codec": "opus-of-tomorrow"}, {"revision": "scripted-2"}])
def test_a_job_for_other_audio_fails_here(make_handler, change):
    with pytest.raises(AttemptFailed, match="revision_mismatch"):
        make_handler(END).handle(job(**change))


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([], "engine_empty"),
        ([with_silence()], "engine_incomplete"),
        ([with_silence(), OSError("secret")], "engine_incomplete"),
    ],
)
def test_a_broken_stream_fails_the_attempt_with_its_code(make_handler, caplog, items, reason):
    with pytest.raises(AttemptFailed) as caught:
        make_handler(*items).handle(job())

    assert caught.value.reason == reason
    assert "secret" not in caplog.text


@pytest.mark.parametrize("items", [[END], [Chunk(np.zeros(24_000, np.float32), RATE), END]])
def test_a_text_without_sound_has_nothing_to_keep(make_handler, items):
    assert make_handler(*items).handle(job()).outcome == "s"


@pytest.mark.parametrize("samples", [np.full(100, np.nan), np.zeros((2, 100))])
def test_samples_that_cannot_be_encoded_end_the_job(make_handler, samples):
    handler = make_handler(Chunk(samples.astype(np.float32), RATE), END)

    assert handler.handle(job()).detail == "encoding_failed"


def test_a_finished_file_is_kept_unchanged(make_handler):
    file, duration_ms = noise_file(20_000, "of a test")
    handler = make_handler(EncodedFile(file, (Word("noise", 0, 10),)), END, encoded=True)

    header, audio = blob.split(handler.handle(job()).blob)

    assert bytes(audio) == file
    assert (header.duration_ms, header.words) == (duration_ms, (("noise", 0, 10),))
    assert handler.engine.texts == ["text"], "a finished file was levelled"


@pytest.mark.parametrize("audio", [b"garbage", noise_file(20_000, "")[0][:-1]])
def test_a_finished_file_that_is_not_whole_is_refused(make_handler, audio):
    assert make_handler(EncodedFile(audio), END, encoded=True).handle(job()).detail == "bad_audio"


def test_a_finished_file_needs_the_capability(make_handler):
    handler = make_handler(EncodedFile(noise_file(20_000, "")[0]), END)

    assert handler.handle(job()).detail == "bad_audio"


def test_the_concurrency_is_that_of_the_engine(make_handler):
    assert make_handler(concurrency=3).concurrency == 3


@pytest.mark.parametrize(
    ("engines", "sentence"),
    [
        ({"scripted": entry(Missing)}, "The model file is not there."),
        ({"scripted": entry(pitch=1)}, "does not take its options"),
        ({}, "There is no engine"),
    ],
)
def test_a_process_says_why_it_cannot_serve_a_model(settings, engines, sentence):
    settings.ENGINES = engines

    with pytest.raises(CommandError, match=sentence):
        SpeechHandler("scripted")


def test_speech_is_stretched_where_the_engine_takes_no_speed(make_handler):
    handler = make_handler(with_silence(Word("all", 300, 700), Word("said", 700, 1300)), END)

    header, _ = blob.split(handler.handle(job(params='{"speed": 2}')).blob)

    assert header.duration_ms == pytest.approx(575, abs=15)
    assert header.words[1][1] - header.words[0][1] == 200


@pytest.mark.parametrize("speed", ["3", "0.1", '"fast"', "null"])
def test_a_speed_out_of_bounds_is_refused(make_handler, speed):
    assert (
        make_handler(with_silence(), END).handle(job(params=f'{{"speed": {speed}}}')).detail
        == "bad_parameters"
    )


def test_a_finished_file_cannot_be_stretched(make_handler):
    handler = make_handler(EncodedFile(noise_file(20_000, "")[0]), END, encoded=True)

    assert handler.handle(job(params='{"speed": 2}')).detail == "bad_parameters"


# --- Gains --------------------------------------------------------------------------------------------------


def test_a_voice_is_measured_once_over_its_preview_in_its_language(make_handler, redis):
    handler = make_handler(with_silence(), END)

    for voice in ("plain", "german", "plain"):
        handler.handle(job(voice=voice))

    introductions = [text for text in handler.engine.texts if text != "text"]
    assert [text.split("!")[0] for text in introductions] == ["Hello", "Guten Tag"]
    kept = {voice: float(gain) for voice, gain in redis.hgetall("gain:scripted:scripted-1").items()}
    expected = rendering.gain_of([(tone(1000), RATE)])
    assert kept == {b"plain": expected, b"german": expected}


def test_the_gain_that_another_worker_measured_is_used(make_handler, redis):
    redis.hset("gain:scripted:scripted-1", "plain", "-3.00")
    handler = make_handler(with_silence(), END)

    assert handler.gains.of("plain") == -3
    assert handler.engine.texts == []


def test_the_first_worker_decides(make_handler, redis, monkeypatch):
    handler = make_handler()
    other_worker = handler.gains.measure

    def measured_too_late(voice):
        redis.hset("gain:scripted:scripted-1", voice, "-3.00")
        return other_worker(voice)

    monkeypatch.setattr(handler.gains, "measure", measured_too_late)

    assert handler.gains.of("plain") == -3


def test_a_voice_that_cannot_introduce_itself_is_not_levelled_and_not_kept(make_handler, redis, monkeypatch):
    handler = make_handler()
    monkeypatch.setattr(handler.engine, "synthesize", lambda *how: iter(()))

    assert handler.gains.of("plain") == 0
    assert not redis.exists("gain:scripted:scripted-1")
