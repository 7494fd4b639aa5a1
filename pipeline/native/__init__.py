"""Native libraries: what a crate needs, known before anything is compiled, and where it comes from."""
