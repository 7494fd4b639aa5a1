"""What is said of an image beside it: SBOM, provenance, signatures."""
