"""The embedded engine: a real Dagger engine built from source and run without Docker."""
