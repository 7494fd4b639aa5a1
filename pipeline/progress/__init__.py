"""Progress of a build: events, the state they add up to, and how it is shown."""
