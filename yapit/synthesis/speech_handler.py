"""The handler of speech jobs: has the engine of a model speak a text and packs the audio. No database."""

from typing import ClassVar

import msgspec
from django.conf import settings
from django.core.management.base import CommandError

from audiocache import blob
from config import checks
from yapit.engines import Engine, EngineError, Speech, load_engine
from yapit.jobs import AttemptFailed, Claimed, JobResult
from yapit.synthesis.speech_job import SpeechPayload

OGG = b"OggS"

_payloads = msgspec.msgpack.Decoder(SpeechPayload)


class SpeechHandler:
    """A `JobHandler` for the queue of one model."""

    concurrency = 1  # of a local engine
    failed: ClassVar[str] = "engine_failed"
    hung: ClassVar[str] = "engine_hung"

    def __init__(self, queue: str) -> None:
        self.engine = _engine_of(queue)

    def warm(self) -> None:
        self.engine.warm()

    def deadline(self, job: Claimed) -> float:
        """Grows with the characters of the text."""
        return settings.JOB_DEADLINE_SECONDS + settings.JOB_DEADLINE_PER_CHARACTER * job.units

    def handle(self, job: Claimed) -> JobResult:
        payload = _payloads.decode(job.payload)
        if payload.revision != self.engine.revision:
            # The key stands for another revision's audio. Another worker may have that revision.
            raise AttemptFailed("revision_mismatch")
        try:
            speech = self.engine.synthesize(
                payload.text, voice=payload.voice, parameters=msgspec.json.decode(payload.params)
            )
        except EngineError as error:
            return JobResult.error(error.code)
        return result_of(speech)


def result_of(speech: Speech) -> JobResult:
    """The result to submit for an engine's output, which is checked."""
    if not speech.audio:
        return JobResult.nothing()
    if not speech.audio.startswith(OGG):
        return JobResult.error("bad_audio")
    if len(speech.audio) > settings.MAX_AUDIO_BYTES:
        return JobResult.error("audio_too_large")
    header = blob.header_for(
        speech.audio,
        duration_ms=speech.duration_ms,
        media_type=speech.media_type,
        words=[(word.text, word.start_ms, word.end_ms) for word in speech.words],
    )
    return JobResult.stored(blob.pack(header, speech.audio), duration_ms=speech.duration_ms)


def _engine_of(model: str) -> Engine:
    if model not in settings.ENGINES:
        available = ", ".join(sorted(settings.ENGINES))
        raise CommandError(f"There is no engine {model!r}. Available: {available}.")
    checks.require_entry("ENGINES", model)
    return load_engine(model, settings.ENGINES[model])
