"""Settings, the workspace, and the request that they make."""
