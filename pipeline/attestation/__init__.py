"""Attach SBOMs, provenance and signatures to an image."""
