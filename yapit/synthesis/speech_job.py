"""The kind of job that speaks a text: its payload."""

import msgspec

KIND = "speech"


class SpeechPayload(msgspec.Struct, frozen=True):
    """The text of a job and what shapes its sound. `params` is the JSON of the voice's parameters."""

    text: str
    voice: str
    params: str
    revision: str
    codec: str
