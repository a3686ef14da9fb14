"""Tests of benchmarks: of what they compute, of their registry, their results and the README's table of them."""
