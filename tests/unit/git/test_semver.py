import itertools

import pytest

from pipeline.git.semver import Version, of_tag


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("v1.2.3", Version(1, 2, 3)),
        ("1.2.3", Version(1, 2, 3)),
        ("v0.0.0", Version(0, 0, 0)),
        ("v1.2.3-rc.1", Version(1, 2, 3, "rc.1")),
        ("v1.2.3-alpha-x.7+build.5", Version(1, 2, 3, "alpha-x.7", "build.5")),
        ("1.2.3+001", Version(1, 2, 3, "", "001")),
        ("v1.2", None),
        ("v01.2.3", None),
        ("v1.2.3-01", None),
        ("v1.2.3-", None),
        ("v1.2.3.4", None),
        ("release", None),
        ("vv1.2.3", None),
        ("", None),
    ],
)
def test_parses_the_version_of_a_tag(tag: str, version: Version | None) -> None:
    assert of_tag(tag) == version


def test_versions_format_as_they_were_parsed() -> None:
    for text in ("1.2.3", "1.2.3-rc.1", "1.2.3+5", "1.2.3-a.b+c.d"):
        assert str(of_tag(text)) == text


def test_versions_order_as_specified() -> None:
    """The examples of section 11."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"]
    ordered += ["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1"]
    for low, high in itertools.combinations(ordered, 2):
        assert of_tag(low) < of_tag(high), (low, high)
    assert [str(version) for version in sorted(map(of_tag, reversed(ordered)))] == ordered


def test_prereleases_are_not_stable() -> None:
    assert Version(1, 0, 0, build="5").stable
    assert not Version(1, 0, 0, "rc").stable
