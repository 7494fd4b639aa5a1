"""Merge the settings, find the workspace, and make the build request."""
