"""Multi-platform container images of Rust projects: compiled natively, checked, published as one index."""

from pipeline.main import RustMultiarch

__all__ = ["RustMultiarch"]
