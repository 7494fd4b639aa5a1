"""Multi-platform container images of Rust projects: compiled natively, checked, published as one index."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.main import RustMultiarch

__all__ = ["RustMultiarch"]


def __getattr__(name: str) -> Any:
    """Import the module's main object when it is first used, since that takes a second."""
    if name != "RustMultiarch":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.main import RustMultiarch
    from pipeline.sdk import share_converters

    share_converters()
    return RustMultiarch
