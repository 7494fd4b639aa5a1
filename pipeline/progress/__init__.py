"""Progress of a build: events, the state they result in, and its display."""
