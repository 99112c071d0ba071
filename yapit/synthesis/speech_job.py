"""The kind of job that speaks a text: its specification and its payload."""

from dataclasses import dataclass

import msgspec

from audiocache import aliases
from yapit.jobs import JobSpec

KIND = "speech"

_pack = msgspec.msgpack.Encoder().encode


class SpeechPayload(msgspec.Struct, frozen=True):
    """The text of a job and what shapes its sound. `params` is the JSON of the voice's parameters."""

    text: str
    voice: str
    params: str
    revision: str
    codec: str


@dataclass(frozen=True, slots=True)
class SpeechSpec:
    """A text in a voice; the same for all accounts that request the same audio."""

    hash: str
    text: str
    model: str
    voice: str
    params: str  # JSON of the voice's parameters
    revision: str
    codec: str
    chars: int
    cost: int
    multiplier_bp: int
    usage_type: str

    @property
    def job(self) -> JobSpec:
        return JobSpec(
            kind=KIND,
            queue=self.model,
            key=self.hash,
            payload=_pack(SpeechPayload(self.text, self.voice, self.params, self.revision, self.codec)),
            usage_type=self.usage_type,
            units=self.chars,
            cost=self.cost,
            store=aliases.AUDIO,
            fields=(
                *("hash", self.hash, "model", self.model, "voice", self.voice),
                *("chars", self.chars, "multiplier_bp", self.multiplier_bp),
            ),
        )
