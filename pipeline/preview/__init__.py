"""Describe a build without running it."""
