"""Benchmarks: each figure is a ratio of two sides that were measured in turn within one run. `make bench` runs them."""
