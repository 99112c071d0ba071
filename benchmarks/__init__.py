"""Benchmarks (`make bench`): measure Yapit as real processes on private servers. See docs/benchmarks.md."""
