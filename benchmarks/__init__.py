"""`make bench`: measures Yapit as real processes on servers of its own. docs/benchmarks.md explains them."""
