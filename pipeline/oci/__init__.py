"""OCI images: layouts, runtime images, normalized layers."""
