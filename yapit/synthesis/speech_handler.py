"""The handler of speech jobs: has the engine of a model speak a text, renders and packs it. No database."""

import logging
import traceback
from typing import ClassVar

import msgspec
from django.conf import settings
from django.core.management.base import CommandError

from audiocache import blob
from config import checks
from config.redis import clients as redis_clients
from yapit.audio import opus, rendering, validation
from yapit.audio.rendering import Pcm, Rendered, TimedWord
from yapit.engines import (
    BrokenStream,
    EncodedFile,
    Engine,
    EngineError,
    SpokenText,
    load_engine,
    read_stream,
    split_speed,
)
from yapit.jobs import AttemptFailed, Claimed, JobResult
from yapit.synthesis.speech_job import SpeechPayload
from yapit.synthesis.voice_gains import VoiceGains

logger = logging.getLogger(__name__)

MEDIA_TYPE = "audio/ogg"
CODECS = frozenset({opus.CODEC, opus.UNTRIMMED_CODEC})

_payloads = msgspec.msgpack.Decoder(SpeechPayload)


class SpeechHandler:
    """A `JobHandler` for the queue of one model."""

    failed: ClassVar[str] = "engine_failed"
    hung: ClassVar[str] = "engine_hung"

    def __init__(self, queue: str) -> None:
        self.engine = _engine_of(queue)
        self.concurrency = self.engine.capabilities.concurrency
        self.gains = VoiceGains(self.engine, redis_clients.sync())

    def warm(self) -> None:
        self.engine.warm()

    def deadline(self, job: Claimed) -> float:
        """Grows with the characters of the text."""
        return settings.JOB_DEADLINE_SECONDS + settings.JOB_DEADLINE_PER_CHARACTER * job.spec.units

    def handle(self, job: Claimed) -> JobResult:
        payload = _payloads.decode(job.spec.payload)
        if payload.revision != self.engine.revision or payload.codec not in CODECS:
            # The key stands for other audio. Another worker may have that revision.
            raise AttemptFailed("revision_mismatch")
        options = msgspec.json.decode(payload.params)
        try:
            options, speed = split_speed(options, self.engine.capabilities)
            spoken = read_stream(self.engine.synthesize(payload.text, payload.voice, options))
            return self._result(payload, spoken, speed)
        except EngineError as error:
            return JobResult.error(error.code)
        except opus.EncodingError:
            return JobResult.error("encoding_failed")
        except BrokenStream as error:
            # Without messages, which may quote the text.
            where = "".join(traceback.format_tb((error.__cause__ or error).__traceback__))
            logger.error("The stream of the engine ended early (%s)\n%s", error.code, where)
            raise AttemptFailed(error.code) from None

    def _result(self, payload: SpeechPayload, spoken: SpokenText, speed: float) -> JobResult:
        words = [(word.text, word.start_ms, word.end_ms) for word in spoken.words]
        if spoken.file:
            return self._validated(spoken.file, words) if speed == 1 else JobResult.error("bad_parameters")
        parts = [(chunk.samples, chunk.sample_rate) for chunk in spoken.chunks]
        rendered = self._rendered(payload, parts, speed) if parts else None
        if rendered is None:
            return JobResult.nothing()
        return _packed(rendered.audio, rendered.duration_ms, rendered.words(words))

    def _rendered(self, payload: SpeechPayload, parts: list[Pcm], speed: float) -> Rendered | None:
        if payload.codec == opus.UNTRIMMED_CODEC:  # queued before an update, or audio to be made again
            return rendering.render_untrimmed(parts)
        return rendering.render(parts, gain_db=self.gains.of(payload.voice), speed=speed)

    def _validated(self, file: EncodedFile, words: list[TimedWord]) -> JobResult:
        if not self.engine.capabilities.encoded:
            return JobResult.error("bad_audio")
        try:
            return _packed(file.audio, validation.duration_ms(file.audio), words)
        except validation.NotCanonical:
            return JobResult.error("bad_audio")


def _packed(audio: bytes, duration_ms: int, words: list[TimedWord]) -> JobResult:
    if len(audio) > settings.MAX_AUDIO_BYTES:
        return JobResult.error("audio_too_large")
    header = blob.header_for(audio, duration_ms=duration_ms, media_type=MEDIA_TYPE, words=words)
    return JobResult.stored(blob.pack(header, audio), duration_ms=duration_ms)


def _engine_of(model: str) -> Engine:
    if model not in settings.ENGINES:
        available = ", ".join(sorted(settings.ENGINES))
        raise CommandError(f"There is no engine {model!r}. Available: {available}.")
    checks.require_entry("ENGINES", model)
    try:
        engine = load_engine(model, settings.ENGINES[model])
    except (TypeError, ValueError) as error:
        raise CommandError(f"The engine {model!r} does not take its options in ENGINES: {error}") from None
    if missing := engine.check():
        raise CommandError(f"The engine {model!r} cannot be used. {missing}")
    return engine
