"""The project as cargo describes it."""
