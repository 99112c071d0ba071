"""Benchmark cases. All modules of this package are imported."""
