"""The registry client: addresses, credentials, transport, and the push of an index."""
