"""Configurations for CI systems."""
