"""Check that programs can start in the root filesystem of their image."""
