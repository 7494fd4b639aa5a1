"""Test the settings of the engine's compilation."""

from engine import build

GIGABYTE = 1024**3


def test_compilers_share_the_memory_without_a_garbage_collector() -> None:
    assert build.collector(24 * GIGABYTE, 2) == {"GOGC": "off", "GOMEMLIMIT": f"{8 * GIGABYTE}B"}
    assert build.collector(12 * GIGABYTE, 2) == {"GOGC": "off", "GOMEMLIMIT": f"{4 * GIGABYTE}B"}


def test_where_memory_is_short_or_unknown_they_collect() -> None:
    assert build.collector(11 * GIGABYTE, 2) == {}
    assert build.collector(0, 2) == {}
    assert build._free_memory() > 0
