"""Gains of voices: measured once over the preview sentence, kept in Redis with the revision of the engine."""

import logging
import threading

from redis import Redis
from redis import exceptions as redis_errors

from config.redis.transient import is_transient
from yapit import redis_keys
from yapit.audio import opus, rendering
from yapit.catalog import previews
from yapit.engines import BrokenStream, Engine, EngineError, read_stream

logger = logging.getLogger(__name__)

NO_GAIN = 0.0
LANGUAGE = "en"  # of voices that the engine does not list


class VoiceGains:
    """The gains in dB of the voices of one engine. Thread-safe.

    The first worker that measures a voice decides for all workers of this revision, so that an engine which
    is not deterministic has one gain, too. A gain does not change the variant hash: it follows from the
    revision. Measuring again after a loss of Redis gives the same value for an engine that is deterministic.
    """

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self._engine = engine
        self._redis = redis
        self._key = redis_keys.gains(engine.slug, engine.revision)
        self._known: dict[str, float] = {}
        self._lock = threading.Lock()

    def of(self, voice: str) -> float:
        """The gain of a voice; at its first use read from Redis, or measured, which speaks a sentence."""
        gain = self._known.get(voice)
        if gain is not None:
            return gain
        with self._lock:
            if voice not in self._known:
                self._known[voice] = self._read_or_measure(voice)
            return self._known[voice]

    def _read_or_measure(self, voice: str) -> float:
        kept = self._kept(voice)
        if kept is None:
            measured = self.measure(voice)
            kept = NO_GAIN if measured is None else self._keep(voice, measured)
        return kept

    def measure(self, voice: str) -> float | None:
        """The gain in dB by the voice's preview sentence, or None when it cannot be spoken. Keeps nothing."""
        languages = {spec.slug: spec.language for spec in self._engine.voices()}
        sentence = previews.sentence(languages.get(voice, LANGUAGE))
        try:
            spoken = read_stream(self._engine.synthesize(sentence, voice, {}))
            return rendering.gain_of([(chunk.samples, chunk.sample_rate) for chunk in spoken.chunks])
        except (EngineError, BrokenStream, opus.EncodingError) as error:
            logger.warning("The voice %s cannot be levelled: %s", voice, type(error).__name__)
            return None

    def _kept(self, voice: str) -> float | None:
        try:
            value = self._redis.hget(self._key, voice)
        except redis_errors.RedisError as error:
            self._raise_unless_transient(error)
            return None
        return None if value is None else float(value)

    def _keep(self, voice: str, measured: float) -> float:
        """Keep the value unless there is one. Returns the one that is kept."""
        try:
            is_first = self._redis.hsetnx(self._key, voice, f"{measured:.2f}")
        except redis_errors.RedisError as error:
            self._raise_unless_transient(error)
            return measured
        kept = None if is_first else self._kept(voice)
        return measured if kept is None else kept

    def _raise_unless_transient(self, error: redis_errors.RedisError) -> None:
        """A gain that is measured while Redis is away is used by this worker only."""
        if not is_transient(error):
            raise error
