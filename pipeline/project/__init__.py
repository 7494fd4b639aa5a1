"""Read projects with cargo: metadata, features, dependencies, messages."""
