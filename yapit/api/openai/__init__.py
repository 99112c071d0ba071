"""Endpoints in the format of the OpenAI API."""

__all__ = ["discovery"]
