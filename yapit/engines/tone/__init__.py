"""Tone engine: test tones of the length of speech, with delays and failures on request."""

from yapit.engines.tone.engine import ToneEngine

__all__ = ["ToneEngine"]
