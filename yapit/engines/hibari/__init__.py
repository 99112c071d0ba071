"""Hibari engine: a small neural voice that runs offline on the CPU. Importing it loads no model."""

from yapit.engines.hibari.engine import HibariEngine

__all__ = ["HibariEngine"]
