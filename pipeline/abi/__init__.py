"""The ABI gate: whether a program fits the root file system that it ships in."""
