"""Benchmarks: programs that measure, with their figures in bench/README.md. Not tests."""
