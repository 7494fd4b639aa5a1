from itertools import pairwise

import pytest
from packaging.version import InvalidVersion
from packaging.version import Version as Reference

from pipeline.git import pep440

VERSIONS = (
    *(
        "1.0.dev1",
        "1.0a1.dev2",
        "1.0a1",
        "1.0a2",
        "1.0b1",
        "1.0rc1.dev1",
        "1.0rc1",
        "1.0",
        "1.0+local",
        "1.0+1",
    ),
    *("1.0.post1.dev2", "1.0.post1", "1.0.1", "1.1.dev1", "1.1", "2", "1!0.1", "1!1.0.0"),
)


@pytest.mark.parametrize(
    "tag",
    [
        *VERSIONS,
        *(
            "v1.2.3",
            "1.2.3RC2",
            "1.2.3-alpha.4",
            "1.2.3_beta",
            "1.2.3c1",
            "1.2.3-preview-3",
            "1.2-4",
            "1.2.r5",
        ),
        *("1.2rev", "1.0dev4", "1.2.3post1", "1.2.3beta2", "1.0+Ubuntu-1_a", "1.0+001", "0", "007.1"),
    ],
)
def test_versions_are_those_of_packaging(tag: str) -> None:
    found, reference = pep440.of_tag(tag), Reference(tag)
    assert found and str(found) == str(reference)
    assert found.stable == (not reference.is_prerelease and not reference.is_postrelease)
    assert (found.major, found.minor, found.patch) == (reference.major, reference.minor, reference.micro)


@pytest.mark.parametrize(
    "tag", ["", "v", "one", "1.", ".1", "1.0-", "1.0+", "1.0a-b", "1 0", "release-1.0", "1.0é"]
)
def test_other_tags(tag: str) -> None:
    assert pep440.of_tag(tag) is None
    with pytest.raises(InvalidVersion):
        Reference(tag)


def test_the_order_is_that_of_packaging() -> None:
    made = sorted(map(pep440.of_tag, VERSIONS))  # type: ignore[type-var]
    assert [str(version) for version in made] == [str(one) for one in sorted(map(Reference, VERSIONS))]
    assert all(one < other for one, other in pairwise(made))  # type: ignore[operator]
