"""Benchmarks of this project and its alternatives, side by side."""
