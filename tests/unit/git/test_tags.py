from dataclasses import replace

import pytest

from pipeline import errors
from pipeline.git import semver
from pipeline.git.ci import Event
from pipeline.git.context import BuildContext
from pipeline.git.facts import Facts
from pipeline.git.tags import TYPES, UNNAMED, from_text, known, needed, parse, sanitized, unread

REVISION = "abc1234def5678abc1234def5678abc1234def56"
AT = Facts(REVISION, 1_700_000_000, branch="main")
RELEASES = ("v1.0.0", "v1.1.0", "v1.1.1", "v1.2.0", "v2.0.0-rc.1")


def tags(*rules: str, event: Event | None = None, **facts: object) -> tuple[str, ...]:
    return from_text(rules, BuildContext(replace(AT, **facts), event or Event()))


def released(tag: str, *others: str, **facts: object) -> tuple[str, ...]:
    """Return the default tags of a commit with a version's tag, on a laptop with a detached head."""
    return tags(tags=(tag,), all_tags=(tag, *others), branch="", **facts)


SHA = "sha-abc1234"


def test_the_newest_release() -> None:
    assert released("v1.2.3", *RELEASES) == ("1.2.3", "1.2", "1", SHA, "latest")


def test_the_first_release() -> None:
    assert released("v1.0.0") == ("1.0.0", "1.0", "1", SHA, "latest")


def test_a_prerelease_is_itself_only() -> None:
    assert released("v2.0.0-rc.2", *RELEASES) == ("2.0.0-rc.2", SHA)
    assert released("v9.0.0-rc.1") == ("9.0.0-rc.1", SHA)


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ("v1.1.2", ("1.1.2", "1.1", SHA)),  # the newest of 1.1, not of 1
        ("v1.1.0", ("1.1.0", SHA)),  # built again, newest of nothing
        ("v0.9.9", ("0.9.9", "0.9", SHA)),  # a fix of an older major
    ],
)
def test_moving_tags_never_move_back(tag: str, found: tuple[str, ...]) -> None:
    assert released(tag, *RELEASES) == found


def test_a_fix_of_an_older_major_takes_its_major_and_not_latest() -> None:
    assert released("v1.2.1", *RELEASES, "v2.0.0") == ("1.2.1", "1.2", "1", SHA)


def test_a_prerelease_of_the_future_does_not_keep_latest_back() -> None:
    assert "latest" in released("v1.3.0", *RELEASES)


def test_version_zero_has_no_major_tag() -> None:
    assert released("v0.3.1", "v0.3.0") == ("0.3.1", "0.3", SHA, "latest")


def test_a_branch() -> None:
    assert tags() == ("main", SHA)
    assert tags(branch="feature/läuft #5") == ("feature-l-uft-5", SHA)
    assert tags(event=Event(branch="dev")) == ("dev", SHA), "CI checks out a detached head"


def test_a_branch_whose_commit_is_also_released() -> None:
    """On a laptop both are true; in CI the tag has a separate run."""
    facts = {"tags": ("v1.0.0",), "all_tags": ("v1.0.0",)}
    assert tags(**facts) == ("1.0.0", "1.0", "1", "main", SHA, "latest")
    assert tags(event=Event(branch="main"), **facts) == ("main", SHA)


@pytest.mark.parametrize(
    "rule", ["type=ref,event=tag", "type=match,pattern=v(.*),group=1", "type=raw,value={{tag}}"]
)
@pytest.mark.parametrize("event", [Event(branch="main", schedule=True), Event(pull_request="7")])
def test_the_release_that_a_branch_or_a_request_is_built_from_is_not_moved(rule: str, event: Event) -> None:
    """Regression: a nightly build of the last released commit moved its tags."""
    assert tags(rule, event=event, tags=("v1.0.0",)) == ()
    pushed, here = tags(rule, event=Event(tag="v1.0.0")), tags(rule, tags=("v1.0.0",))
    assert len({*pushed} - {"latest"}) == len({*here} - {"latest"}) == 1


def test_a_pull_request() -> None:
    assert tags(event=Event(pull_request="12")) == ("pr-12", SHA)


def test_a_pushed_tag_counts_even_where_git_does_not_know_it() -> None:
    assert tags(event=Event(tag="v1.2.3"), branch="") == ("1.2.3", "1.2", "1", SHA, "latest")
    assert tags(event=Event(tag="nonsense"), tags=("v1.0.0",)) == (SHA,)


def test_the_highest_of_several_versions_of_a_commit() -> None:
    found = tags(tags=("v1.0.0-rc.1", "v1.0.0"), all_tags=("v1.0.0-rc.1", "v1.0.0"), branch="")
    assert found[0] == "1.0.0"


def test_a_schedule() -> None:
    assert tags(event=Event(branch="main", schedule=True)) == ("nightly", "main", SHA)
    nightly = "type=schedule,pattern=nightly-{{commit_date 'YYYY.MM.DD'}}"
    assert tags(nightly, event=Event(schedule=True)) == ("nightly-2023.11.14",)
    assert tags(nightly) == ()


def test_a_dirty_tree_is_marked_and_never_latest() -> None:
    assert released("v1.2.3", changed=("src/main.rs",)) == (
        "1.2.3-dirty",
        "1.2-dirty",
        "1-dirty",
        f"{SHA}-dirty",
    )
    assert tags("type=raw,value=mine", changed=("src/main.rs",)) == ("mine",), "what was spelled out stays"


def test_a_shallow_clone_cannot_know_what_is_newest() -> None:
    with pytest.raises(errors.ShallowClone, match="fetch-depth"):
        released("v1.2.3", shallow=True)
    with pytest.raises(errors.ShallowClone):
        tags("type=semver,pattern={{version}}", event=Event(tag="v1.2.3"), shallow=True)


def test_a_shallow_clone_that_need_not_know() -> None:
    assert tags(shallow=True) == ("main", SHA)
    assert released("v1.2.3-rc.1", shallow=True) == ("1.2.3-rc.1", SHA)
    assert released("v1.2.3", "v1.2.2", shallow=True)[-1] == "latest", "all tags were fetched"
    exact = ("latest=false", "type=semver,pattern={{version}}")
    assert tags(*exact, event=Event(tag="v1.2.3"), shallow=True) == ("1.2.3",)


VERSION = {"tags": ("v1.2.3",), "all_tags": ("v1.2.3",), "branch": ""}


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("type=semver,pattern={{version}}", "1.2.3"),
        ("type=semver,pattern={{raw}}", "v1.2.3"),
        ("type=semver,pattern=v{{major}}.{{minor}}", "v1.2"),
        ("type=semver,pattern={{major}}.{{minor}}.{{patch}}", "1.2.3"),
        ("type=semver,pattern={{version}},prefix=app-,suffix=-slim", "app-1.2.3-slim"),
        ("type=semver,pattern={{version}},value=v3.0.0", "3.0.0"),
        ("type=match,pattern=\\d+\\.\\d+", "1.2"),
        ("type=match,pattern=v(\\d+),group=1", "1"),
        ("type=ref,event=tag", "v1.2.3"),
        ("type=sha", "sha-abc1234"),
        ("type=sha,format=long,prefix=", REVISION),
        ("type=raw,value=custom", "custom"),
        ("custom", "custom"),
        ("type=raw,value={{tag}}_{{sha}}", "v1.2.3_abc1234"),
        ("type=raw,value=on-{{commit_date}}", "on-20231114"),
        ("type=raw,value=at-{{ commit_date 'YYYYMMDDHHmmss' }}", "at-20231114221320"),
        ('type=raw,value=at-{{commit_date "HHmm"}}', "at-2213"),
        ("type=raw,value=at-{{commit_date 'YYYYMMDDHH' tz='Asia/Tokyo'}}", "at-2023111507"),
        ("type=raw,value=on-{{commit_date tz='Asia/Tokyo'}}", "on-20231115"),
        ("type=semver,pattern={{major}}.{{minor}},value=2.0.0", "2.0"),
        ('type=raw,"value=a,b"', "a-b"),
    ],
)
def test_every_type_and_attribute(rule: str, found: str) -> None:
    assert tags("latest=false", rule, **VERSION) == (found,)


@pytest.mark.parametrize(
    "rule", ["type=match,pattern=^x", "type=edge", "type=ref,event=pr", "type=ref,event=branch"]
)
def test_a_rule_that_finds_nothing(rule: str) -> None:
    assert tags(rule, **VERSION) == ()


RELEASES_ALONE = ["type=semver,pattern={{version}}"]


def test_rules_without_a_tag_are_an_error_if_one_is_needed() -> None:
    """Regression: with rules only for releases, a push to a branch moved `latest`."""
    branch, release = BuildContext(AT), BuildContext(replace(AT, tags=("v1.0.0",), all_tags=("v1.0.0",)))
    assert needed(RELEASES_ALONE, release) == known(RELEASES_ALONE, release)[0] == ("1.0.0", "latest")
    assert known(RELEASES_ALONE, release)[1] == known([], branch)[1] == ""
    with pytest.raises(errors.InvalidArgument, match="give no tag for what is built"):
        needed(RELEASES_ALONE, branch)
    names, why = known(RELEASES_ALONE, branch)
    assert names == () and isinstance(UNNAMED[why](), errors.InvalidArgument)


def test_a_shallow_clone_is_no_error_if_no_tag_is_needed() -> None:
    at = BuildContext(replace(AT, tags=("v1.0.0",), all_tags=("v1.0.0",), shallow=True))
    names, why = known([], at)
    assert names == () and isinstance(UNNAMED[why](), errors.ShallowClone)
    with pytest.raises(errors.ShallowClone):
        needed([], at)


def test_edge_is_the_default_branch() -> None:
    at_main = Event(branch="main", default_branch="main")
    assert tags("type=edge", event=at_main) == ("edge",)
    assert tags("type=edge,branch=dev", event=at_main) == ()
    assert tags("type=edge,branch=dev", branch="dev") == ("edge",)
    assert tags("type=edge,branch=", event=at_main) == ("edge",), "as the metadata action takes it"


BY_DEFAULT_BRANCH = ["type=edge", "type=raw,value=edge,enable={{is_default_branch}}"]


@pytest.mark.parametrize("rule", BY_DEFAULT_BRANCH)
def test_git_says_the_default_branch_where_ci_does_not(rule: str) -> None:
    """Regression: on systems without a default branch in the environment, no branch got the tag."""
    assert tags(rule, default_branch="main") == ("edge",)
    assert tags(rule, default_branch="main", event=Event(branch="dev")) == ()
    assert tags(rule, default_branch="main", event=Event(branch="dev", default_branch="dev")) == ("edge",)


@pytest.mark.parametrize("rule", BY_DEFAULT_BRANCH)
def test_an_unknown_default_branch_is_an_error(rule: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="default branch is not known") as raised:
        tags(rule)
    assert "type=edge,branch=main" in raised.value.fix
    for other in (Event(tag="v1.2.3"), Event(pull_request="7")):
        assert tags(rule, event=other) == (), "no branch at all, so not the default one"


def test_the_branch_in_a_tag() -> None:
    assert tags("type=sha,prefix={{branch}}-") == ("main-abc1234",)
    assert tags("type=ref,event=pr,prefix=mr", event=Event(pull_request="4")) == ("mr4",)


def test_enable() -> None:
    rule = "type=raw,value=latest,enable={{is_default_branch}}"
    assert tags(rule, event=Event(branch="main", default_branch="main")) == ("latest",)
    assert tags(rule, event=Event(branch="dev", default_branch="main")) == ()
    assert tags("type=sha,enable=false") == ()
    assert tags("type=semver,pattern={{version}},enable=false", **VERSION) == ()


def test_priority_decides_the_order() -> None:
    assert tags("type=sha", "type=raw,value=a", "type=raw,value=b") == ("a", "b", SHA)
    assert tags("type=sha,priority=999", "type=raw,value=a") == (SHA, "a")


def test_lines_may_come_as_one_text() -> None:
    assert tags("type=sha\n\n  type=raw,value=a  \n") == ("a", SHA)


def test_a_tag_is_given_once() -> None:
    assert tags("main", "type=ref,event=branch") == ("main",)


def test_the_priorities_are_the_actions() -> None:
    found = {name: kind.priority for name, kind in TYPES.items()}
    assert found == {"schedule": 1000, "semver": 900, "pep440": 900, "match": 800, "edge": 700, "ref": 600,
                     "raw": 200, "sha": 100}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("type=calver,pattern=x", "no type 'calver'"),
        ("type=pep440,pattern={{version}},value=one", "'one' is not a version by PEP 440"),
        ("type=match,pattern=/(/i", "not a regular expression"),
        ("latest=yes", "'latest=yes' is not a choice"),
        ("latest=true,onlatest=true", "is not a choice"),
        ("prefix=x,onlatest=yes", "'onlatest=yes' in"),
        ("suffix=x,only=true", "'only=true' in"),
        ("type=sha,patern=x", "no attribute 'patern'"),
        ("type=semver", "needs pattern"),
        ("type=raw,value=", "needs value"),
        ("type=ref,event=push", "event=push is not a choice"),
        ("type=sha,format=medium", "format=medium"),
        ("type=sha,priority=high", "priority=high is not a number"),
        ("type=match,pattern=(", "not a regular expression"),
        ("type=sha,x", "'x' in"),
        ("type=semver,pattern={{version}},value=one", "'one' is not a semantic version"),
        ("type=raw,value={{brunch}}", "{{brunch}}"),
        ("type=raw,value={{date 'YYYY'}}", "commit_date"),
        ("type=raw,value={{commit_date YYYY}}", "{{commit_date YYYY}}"),
        ("type=raw,value=a-{{sha", "{{sha"),
        ("type=raw,value={{commit_date 'YYYY' tz='Middle/Earth'}}", "no time zone 'Middle/Earth'"),
        ("type=raw,value={{commit_date 'YYYY' tz='../etc/passwd'}}", "no time zone"),
        ("type=match,pattern=v(.*),group=2", "has no group 2"),
        ("type=sha,enable=maybe", "enable=maybe"),
    ],
)
def test_rules_that_are_none(rule: str, message: str) -> None:
    with pytest.raises(errors.InvalidArgument) as raised:
        tags(rule)
    assert message in str(raised.value)
    assert raised.value.where == "--tag-rule"


def test_the_rules_of_the_metadata_action_can_be_read() -> None:
    parsed = parse(
        """
        type=schedule,pattern=nightly
        type=edge,branch=main
        type=semver,pattern={{version}}
        latest=auto
        """.splitlines()
    )
    assert [rule.type for rule in parsed.rules] == ["schedule", "semver", "edge"]
    assert parsed.flavor.latest == "auto"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("a/b", "a-b"),
        ("1.2.3+build", "1.2.3-build"),
        ("..hidden", "hidden"),
        ("-x", "x"),
        ("Ünder_score", "nder_score"),
        ("///", ""),
        ("x" * 200, "x" * 128),
    ],
)
def test_what_a_tag_cannot_have(text: str, tag: str) -> None:
    assert sanitized(text) == tag


def test_a_long_name_keeps_its_mark() -> None:
    assert sanitized("x" * 200, "-dirty") == "x" * 122 + "-dirty"
    assert sanitized("/", "-dirty") == ""


SERVER = ("server", "services/server")


def of_server(*rules: str, tag: str, others: tuple[str, ...] = (), **more: object) -> tuple[str, ...]:
    """Return the tags of a monorepo's package `server` in a CI build of a git tag."""
    facts = replace(AT, all_tags=(tag, *others), branch="")
    return from_text(rules, BuildContext(facts, Event(tag=tag), crates=SERVER, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "tag",
    [
        "server-v1.4.2",
        "server-1.4.2",
        "server/v1.4.2",
        "server@1.4.2",
        "services/server/v1.4.2",
        "crates/server-v1.4.2",
    ],
)
def test_a_tag_with_the_packages_name_or_path_in_front_is_its_release(tag: str) -> None:
    """Regression: a workspace's release by cargo-release or release-plz had only `sha-…` (case 32)."""
    others = ("client-v9.0.0", "server-v1.4.1", "v8.0.0")
    assert of_server(tag=tag, others=others) == ("1.4.2", "1.4", "1", SHA, "latest")


def test_a_packages_release_is_held_against_its_own_alone() -> None:
    others = ("server-v2.0.0", "client-v1.9.0")
    assert of_server(tag="server-v1.4.2", others=others) == ("1.4.2", "1.4", "1", SHA)
    assert of_server(tag="v1.4.2", others=others) == ("1.4.2", "1.4", "1", SHA, "latest"), "the repository's"
    assert of_server(tag="server-v1.4.2-rc.1") == ("1.4.2-rc.1", SHA)


@pytest.mark.parametrize(
    "tag", ["client-v1.4.2", "myserver-v1.4.2", "server-next", "server-v1.4", "serverv1.4.2"]
)
def test_another_packages_release_is_not_taken_for_it(tag: str) -> None:
    assert of_server(tag=tag) == (SHA,)


def test_a_laptop_on_the_commit_of_two_packages_releases() -> None:
    facts = replace(AT, tags=("client-v9.0.0", "server-v1.4.2"), all_tags=("client-v9.0.0", "server-v1.4.2"))
    assert BuildContext(facts, crates=SERVER).version == semver.of_tag("1.4.2")
    assert str(BuildContext(facts, crates=("client",)).version) == "9.0.0"
    assert BuildContext(facts).version is None


@pytest.mark.parametrize(
    ("tag", "rule", "found"),
    [
        (
            "release-v1.2.3",
            "type=semver,pattern={{version}},match=^release-v?(.*)$",
            ("1.2.3", "latest"),
        ),
        ("a.b+c/1.2.3", r"type=semver,pattern={{version}},match=^a\.b\+c/v?(.*)$", ("1.2.3", "latest")),
        ("a,b-1.2.3", 'type=semver,pattern={{version}},"match=^a,b-v?(.*)$"', ("1.2.3", "latest")),
        ("summer", "type=ref,event=tag", ("summer", "latest")),
    ],
)
def test_a_tag_that_no_rule_reads_is_said_with_a_rule_that_works(
    tag: str, rule: str, found: tuple[str, ...]
) -> None:
    at = BuildContext(replace(AT, all_tags=(tag,), branch=""), Event(tag=tag), crates=SERVER)
    assert f"--tag-rules '{rule}'" in unread([], at) and tag in unread([], at)
    assert unread([rule], at) == ""
    assert from_text([rule], at) == found


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    assert unread([], BuildContext(AT)) == ""
    assert unread([], BuildContext(AT, Event(branch="main"))) == ""
    assert unread([], BuildContext(AT, Event(tag="server-v1.4.2"), crates=SERVER)) == ""
    assert unread(["type=match,pattern=^x-(.*)$,group=1"], BuildContext(AT, Event(tag="x-1"))) == ""
    assert unread(["type=match,pattern=^x-(.*)$,enable=false"], BuildContext(AT, Event(tag="x-1"))) != ""
    assert unread(["type=raw,value=next"], BuildContext(AT, Event(tag="x-1"))) != ""


MATCH = "type=match,pattern=^app-(.*)$,group=1"


@pytest.mark.parametrize(
    ("rules", "tag", "others", "found"),
    [
        ([MATCH], "app-1.2.3", (), ("1.2.3", "latest")),
        ([MATCH], "app-1.2.3", ("app-2.0.0",), ("1.2.3",)),
        ([MATCH], "app-1.2.3", ("v2.0.0",), ("1.2.3", "latest")),
        ([MATCH], "app-1.2.3-rc.1", (), ("1.2.3-rc.1",)),
        ([MATCH], "app-2026", (), ("2026", "latest")),
        ([MATCH], "other", (), ()),
        ([MATCH, "latest=false"], "app-1.2.3", (), ("1.2.3",)),
        (["type=ref,event=tag"], "v1.2.3", ("v2.0.0",), ("v1.2.3",)),
        (["type=ref,event=tag"], "v1.2.3", (), ("v1.2.3", "latest")),
        (["type=ref,event=tag"], "v1.2.3-rc.1", (), ("v1.2.3-rc.1",)),
        (["type=ref,event=branch"], "v1.2.3", (), ()),
        (
            ["type=semver,pattern={{major}}.{{minor}},match=^app-(.*)$"],
            "app-1.2.3",
            ("app-1.3.0", "v9.0.0"),
            ("1.2",),
        ),
        (
            [
                "type=semver,pattern={{raw}},match=app-(.*)",
                "type=semver,pattern={{major}},match=app-(.*)",
            ],
            "app-1.2.3",
            ("app-1.3.0",),
            ("app-1.2.3",),
        ),
    ],
)
def test_latest_goes_with_every_rule_that_reads_git_tags(
    rules: list[str], tag: str, others: tuple[str, ...], found: tuple[str, ...]
) -> None:
    """Like the metadata action for `match` and `ref`, but `latest` never moves to an older release."""
    facts = replace(AT, all_tags=(tag, *others), branch="")
    assert from_text(rules, BuildContext(facts, Event(tag=tag))) == found
    dirty = replace(facts, changed=("src/main.rs",))
    assert "latest" not in from_text(rules, BuildContext(dirty, Event(tag=tag)))


def test_a_dirty_tree_never_gets_latest() -> None:
    at = BuildContext(replace(AT, changed=("a",)), Event(branch="main"))
    assert from_text(["latest=true", "type=ref,event=branch"], at) == ("main-dirty",)


def test_the_last_prerelease_of_python_is_not_the_newest() -> None:
    rules = ["type=pep440,pattern={{version}}", "type=pep440,pattern={{major}}.{{minor}}"]
    others = ("1.2.4rc1", "1.1.9", "1.2.3.dev1", "sometag")
    for tag, more, found in (
        ("1.2.3", (), ("1.2.3", "1.2", "latest")),
        ("1.2.3", ("1.2.4",), ("1.2.3",)),
        ("1.2.3", ("1.3",), ("1.2.3", "1.2")),
        ("1.2.3.post1", (), ("1.2.3.post1",)),
    ):
        facts = replace(AT, all_tags=(tag, *others, *more), branch="")
        assert from_text(rules, BuildContext(facts, Event(tag=tag))) == found
    matched = ["type=pep440,pattern={{version}},match=^py-(.*)$"]
    assert from_text(matched, BuildContext(replace(AT, branch=""), Event(tag="py-1.0"))) == ("1.0", "latest")
