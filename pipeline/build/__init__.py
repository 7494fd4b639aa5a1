"""Plan and run the compile."""
