"""Determine and provide the native libraries that crates need, before compiling."""
