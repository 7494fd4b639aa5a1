"""Derive tags, labels and annotations from git and the CI system."""
