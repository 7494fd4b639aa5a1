import pytest

from pipeline.errors import DuplicatePlatform, MalformedPlatform, NoPlatforms, UnsupportedPlatform
from pipeline.targets import BY_PLATFORM, DEFAULT_PLATFORMS, TARGETS, Libc, parse, select


def test_names_are_unique_in_every_column() -> None:
    for column in ("platform", "gnu", "musl", "debian", "tools", "multiarch", "machine", "loader"):
        values = [getattr(target, column) for target in TARGETS]
        assert len(set(values)) == len(TARGETS), column


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.platform)
def test_columns_of_a_row_are_consistent(target) -> None:
    assert target.gnu.split("-")[0] == target.musl.split("-")[0]
    assert target.triple(Libc.GNU) == target.gnu
    assert target.triple(Libc.MUSL) == target.musl
    assert target.bits in (32, 64)
    assert target.loader.startswith("/lib")


def test_these_platforms_are_supported() -> None:
    assert set(BY_PLATFORM) == {
        "linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x",
        "linux/riscv64", "linux/loong64",
    }  # fmt: skip
    assert set(DEFAULT_PLATFORMS) <= set(BY_PLATFORM)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/arm64", "linux/arm64"),
        (" linux/amd64 ", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v7", "linux/arm/v7"),
    ],
)
def test_parse(text: str, platform: str) -> None:
    assert parse(text).platform == platform


@pytest.mark.parametrize(
    "text", ["", "arm64", "linux", "linux/", "linux/arm64/v8/x", "Linux/AMD64", "linux arm64"]
)
def test_malformed_platforms_are_refused(text: str) -> None:
    with pytest.raises(MalformedPlatform, match="os/arch"):
        parse(text)


@pytest.mark.parametrize("text", ["windows/amd64", "linux/mips64", "linux/arm/v5"])
def test_unsupported_platforms_list_the_supported(text: str) -> None:
    with pytest.raises(UnsupportedPlatform) as raised:
        parse(text)
    for platform in BY_PLATFORM:
        assert platform in str(raised.value)


def test_select_keeps_the_order_and_splits_commas() -> None:
    found = [target.platform for target in select(["linux/arm64,linux/amd64", "linux/386"])]
    assert found == ["linux/arm64", "linux/amd64", "linux/386"]


@pytest.mark.parametrize("platforms", [[], [""]])
def test_select_refuses_an_empty_list(platforms: list[str]) -> None:
    with pytest.raises(NoPlatforms):
        select(platforms)


@pytest.mark.parametrize("platforms", [["linux/arm64", "linux/arm64"], ["linux/arm64,linux/arm64/v8"]])
def test_select_refuses_duplicates(platforms: list[str]) -> None:
    with pytest.raises(DuplicatePlatform, match="linux/arm64"):
        select(platforms)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("x86_64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("X64", "linux/amd64"),
        ("armhf", "linux/arm/v7"),
        ("linux/armv7", "linux/arm/v7"),
        ("i686", "linux/386"),
        ("ppc64el", "linux/ppc64le"),
        ("linux/ricsv64", "linux/riscv64"),
        ("linux/s309x", "linux/s390x"),
        *[(name, row.platform) for row in TARGETS for name in (row.gnu, row.musl, row.debian)],
    ],
)
def test_another_name_of_a_platform_is_understood(text: str, meant: str) -> None:
    with pytest.raises((MalformedPlatform, UnsupportedPlatform)) as raised:
        parse(text)
    assert raised.value.fix.startswith(f"did you mean {meant}? ")


@pytest.mark.parametrize("text", ["windows/amd64", "darwin/arm64", "linux/mips64", "", "nonsense"])
def test_a_platform_that_is_nothing_like_ours_gets_the_list_or_the_form(text: str) -> None:
    with pytest.raises((MalformedPlatform, UnsupportedPlatform)) as raised:
        parse(text)
    assert "did you mean" not in raised.value.fix
