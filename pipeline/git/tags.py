"""Derive an image's tags from git and CI, by the rules of docker's metadata action.

A rule is a line such as `type=semver,pattern={{major}}.{{minor}}`. Types, attributes, expressions, flavor and
the order of the tags follow github.com/docker/metadata-action. docs/publishing.md lists the differences, and
tests/data/metadata_action.toml has its README as a table, with them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import InvalidArgument, RustMultiarchError, ShallowClone
from pipeline.git import pep440, semver
from pipeline.git.context import BuildContext, Read, shallow
from pipeline.git.expressions import expand, invalid, is_branch
from pipeline.git.semver import Version

DEFAULT = (
    "type=schedule",
    "type=semver,pattern={{version}}",
    "type=semver,pattern={{major}}.{{minor}}",
    "type=semver,pattern={{major}}",
    "type=ref,event=branch",
    "type=ref,event=pr",
    "type=sha",
)
"""The default rules."""

LONGEST = 128
"""Characters of a tag, by the OCI distribution specification."""


@dataclass(frozen=True)
class Rule:
    """A rule: its type and its attributes."""

    type: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """Return an attribute, or its default value."""
        return self.attributes.get(name, default)

    @property
    def priority(self) -> int:
        """Return the priority; tags of a higher one come first, and the first tag is the image's version."""
        return int(self.get("priority", str(TYPES[self.type].priority)))

    @property
    def prefix(self) -> str | None:
        """Return the prefix of its tags, such as `pr-`, since a number or a hash alone would be unclear."""
        default = {("ref", "pr"): "pr-", ("sha", ""): "sha-"}.get((self.type, self.get("event")))
        return self.attributes.get("prefix", default)


Found = Iterable[str]


def _schedule(rule: Rule, at: BuildContext) -> Found:
    if at.event.schedule:
        yield rule.get("pattern", "nightly")


READERS: Mapping[str, Read] = {"semver": semver.of_tag, "pep440": pep440.of_tag}
"""The function that reads a version in a text, by the type of rules."""


def _reader(rule: Rule, at: BuildContext) -> Read:
    """Return the function that reads a version from a git tag, by the rule's `match` if it has one."""
    of_text = READERS[rule.type]
    if not rule.get("match"):
        return at.read if rule.type == "semver" else of_text

    def read(tag: str) -> Version | None:
        found = re.search(rule.get("match"), tag)
        return of_text(found[min(1, found.re.groups)] or "") if found else None

    return read


def _version_tags(rule: Rule, at: BuildContext) -> Found:
    version = _version(rule, at)
    if version is None:
        return
    pattern = rule.get("pattern")
    if not version.stable:
        yield _render_version(rule, version, at, pattern if _is_raw(pattern) else "{{version}}")
    elif any(part in pattern for part in ("{{version}}", "{{raw}}", "{{patch}}")):
        yield _render_version(rule, version, at, pattern)
    elif not (version.major == 0 and "{{minor}}" not in pattern):
        parts = 2 if "{{minor}}" in pattern else 1
        line = (version.major, version.minor)[:parts]
        releases = at.releases_by(_reader(rule, at))
        others = [v for v in releases if (v.major, v.minor)[:parts] == line]
        if version >= max(others, default=version):
            yield _render_version(rule, version, at, pattern)


def _is_raw(pattern: str) -> bool:
    return re.fullmatch(r"\{\{\s*raw\s*\}\}", pattern) is not None


def _version(rule: Rule, at: BuildContext) -> Version | None:
    if not rule.get("value"):
        return at.version_by(_reader(rule, at))
    value = expand(rule.get("value"), at)
    version = READERS[rule.type](value)
    if version is None:
        what = {"semver": "a semantic version", "pep440": "a version by PEP 440"}[rule.type]
        raise invalid(f"{value!r} is not {what}", "write it as 1.2.3 or v1.2.3")
    return version


def _render_version(rule: Rule, version: Version, at: BuildContext, pattern: str) -> str:
    read = _reader(rule, at)
    raw = expand(rule.get("value"), at) or at.event.tag
    raw = raw or next((t for t in at.facts.tags if read(t) == version), str(version))
    values = {"version": str(version), "raw": raw}
    values |= {part: str(getattr(version, part)) for part in ("major", "minor", "patch")}
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: values.get(match[1], match[0]), pattern)


def _expression(rule: Rule) -> re.Pattern[str]:
    """Return the regular expression of a `match` rule, which may be written as `/…/i`."""
    written = re.fullmatch(r"/(.+)/([a-z]*)", rule.get("pattern"))
    if not written:
        return re.compile(rule.get("pattern"))
    flags = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
    return re.compile(written[1], sum(flags.get(letter, 0) for letter in set(written[2])))


def _match(rule: Rule, at: BuildContext) -> Found:
    value = expand(rule.get("value"), at)
    for tag in (value,) if value else at.tags:
        if match := _expression(rule).search(tag):
            yield match[int(rule.get("group", "0"))] or ""
            return


def _newest(version: Version | None, read: Read, at: BuildContext) -> bool:
    """Return True if the version to build is the newest release."""
    return version is not None and version.stable and version >= max(at.releases_by(read), default=version)


def _newest_version(rule: Rule, at: BuildContext) -> bool:
    return _newest(_version(rule, at), _reader(rule, at), at)


def _newest_match(rule: Rule, at: BuildContext) -> bool:
    def read(tag: str) -> Version | None:
        match = _expression(rule).search(tag)
        return semver.of_tag(match[int(rule.get("group", "0"))] or "") if match else None

    # Other tags than versions have no order: as in the metadata action, the last one is the latest.
    value = expand(rule.get("value"), at)
    version = read(value) if value else at.version_by(read)
    return version is None or _newest(version, read, at)


def _newest_ref(rule: Rule, at: BuildContext) -> bool:
    if rule.get("event") != "tag" or not at.tags:
        return False
    return at.version is None or _newest(at.version, at.read, at)


def _edge(rule: Rule, at: BuildContext) -> Found:
    if is_branch(at, rule.get("branch")):
        yield "edge"


def _ref(rule: Rule, at: BuildContext) -> Found:
    said = {"branch": at.branch, "tag": next(iter(at.tags), ""), "pr": at.event.pull_request}[
        rule.get("event")
    ]
    yield said


def _sha(rule: Rule, at: BuildContext) -> Found:
    yield at.facts.revision if rule.get("format") == "long" else at.facts.short


def _raw(rule: Rule, at: BuildContext) -> Found:
    yield rule.get("value")


@dataclass(frozen=True)
class Type:
    """A type of rules.

    Attributes:
        find: returns the tags of a rule.
        priority: see `Rule.priority`.
        needs: the required attributes.
        takes: the optional attributes.
        choices: the allowed values of attributes, by name; others accept any value.
        newest: returns True if the rule's tag is also `latest`; None if it never is.
    """

    find: Callable[[Rule, BuildContext], Found]
    priority: int
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    newest: Callable[[Rule, BuildContext], bool] | None = None


COMMON = ("enable", "priority", "prefix", "suffix")

TYPES: Mapping[str, Type] = {
    "schedule": Type(_schedule, 1000, takes=("pattern",)),
    "semver": Type(_version_tags, 900, ("pattern",), ("value", "match"), newest=_newest_version),
    "pep440": Type(_version_tags, 900, ("pattern",), ("value", "match"), newest=_newest_version),
    "match": Type(_match, 800, needs=("pattern",), takes=("group", "value"), newest=_newest_match),
    "edge": Type(_edge, 700, takes=("branch",)),
    "ref": Type(_ref, 600, needs=("event",), choices={"event": ("branch", "tag", "pr")}, newest=_newest_ref),
    "raw": Type(_raw, 200, needs=("value",)),
    "sha": Type(_sha, 100, takes=("format",), choices={"format": ("short", "long")}),
}


@dataclass(frozen=True)
class Flavor:
    """What holds for all rules.

    Attributes:
        latest: `auto`, or `true` and `false` for every tag.
        prefix, suffix: of tags whose rule has none.
        prefix_latest, suffix_latest: whether `latest` gets them.
    """

    latest: str = "auto"
    prefix: str = ""
    suffix: str = ""
    prefix_latest: bool = False
    suffix_latest: bool = False

    @property
    def name_of_latest(self) -> str:
        """Return `latest`, perhaps with prefix and suffix."""
        return f"{self.prefix * self.prefix_latest}latest{self.suffix * self.suffix_latest}"


@dataclass(frozen=True)
class Rules:
    """Rules in order of priority, and the flavor."""

    rules: tuple[Rule, ...]
    flavor: Flavor = Flavor()


def parse(lines: Iterable[str]) -> Rules:
    """Parse rules, one per line; a line without `=` is a literal tag. A comment begins with `#`.

    Lines that begin with `latest=`, `prefix=` or `suffix=` are the action's input `flavor`.

    Raises:
        InvalidArgument: a type, an attribute or a value is unknown.
    """
    rules, flavor = [], Flavor()
    for line in (re.sub(r"(^|\s)#.*", "", line).strip() for text in lines for line in text.splitlines()):
        if re.match(r"(latest|prefix|suffix)=", line):
            flavor = _with_flavor(flavor, line)
        elif line:
            rules.append(_parse_rule(line))
    return Rules(tuple(sorted(rules, key=lambda rule: -rule.priority)), flavor)


def _with_flavor(flavor: Flavor, line: str) -> Flavor:
    name, _, rest = line.partition("=")
    value, comma, only = rest.partition(",")
    kind, _, on_latest = only.strip().partition("=")
    if name == "latest" and (rest not in ("auto", "true", "false")):
        raise invalid(f"{line!r} is not a choice", "write latest=auto, latest=true or latest=false")
    if comma and (kind != "onlatest" or on_latest not in ("true", "false")):
        raise invalid(f"{only.strip()!r} in {line!r} is unknown", f"write {name}={value},onlatest=true")
    if name == "latest":
        return replace(flavor, latest=value)
    changes: dict[str, Any] = {name: value, f"{name}_latest": on_latest == "true"}
    return replace(flavor, **changes)


def _parse_rule(line: str) -> Rule:
    if "=" not in line:
        return Rule("raw", {"value": line})
    (fields,) = csv.reader([line])
    attributes = {}
    for item in fields:
        name, equals, value = item.strip().partition("=")
        if not equals and fields[0].strip() == "type=raw" and "value" not in attributes:
            name, equals, value = "value", "=", name
        if not equals:
            raise invalid(f"{item.strip()!r} in {line!r} is not NAME=VALUE", "quote a value with a comma")
        attributes[name] = value
    name = attributes.pop("type", "raw")
    if name not in TYPES:
        raise invalid(f"there is no type {name!r}", "use one of " + ", ".join(TYPES))
    kind = TYPES[name]
    allowed = (*kind.needs, *kind.takes, *COMMON)
    for attribute, value in attributes.items():
        if attribute not in allowed:
            raise invalid(f"type={name} has no attribute {attribute!r}", "use one of " + ", ".join(allowed))
        if value not in kind.choices.get(attribute, (value,)):
            raise invalid(
                f"{attribute}={value} is not a choice", "use one of " + ", ".join(kind.choices[attribute])
            )
        if attribute in ("priority", "group") and not value.isdecimal():
            raise invalid(f"{attribute}={value} is not a number", "write digits")
    if missing := [attribute for attribute in kind.needs if not attributes.get(attribute)]:
        raise invalid(f"type={name} needs {missing[0]}", f"write type={name},{missing[0]}=…")
    rule = Rule(name, attributes)
    try:
        matcher = _expression(rule) if name == "match" else re.compile(attributes.get("match", ""))
        groups = matcher.groups
    except re.error as error:
        what = f"{error.pattern!r} is not a regular expression: {error}"
        raise invalid(what, "correct it") from error
    if int(attributes.get("group", "0")) > groups:
        what = f"{attributes['pattern']!r} has no group {attributes['group']}"
        raise invalid(what, f"use one of 0 to {groups}; 0 is all that matches")
    return rule


def tags(rules: Rules, at: BuildContext) -> tuple[str, ...]:
    """Return the distinct tags of an image, the one with its version first.

    Raises:
        InvalidArgument: an expression, or the required default branch, is unknown.
        ShallowClone: a rule needs the newest release, and the clone may lack tags.
    """
    found: list[str] = []
    flavor, latest = rules.flavor, rules.flavor.latest == "true"
    for rule in rules.rules:
        if not _enabled(rule, at):
            continue
        dirty = "-dirty" if at.facts.dirty and rule.type != "raw" else ""
        for name in filter(None, TYPES[rule.type].find(rule, at)):
            prefix = flavor.prefix if rule.prefix is None else rule.prefix
            named = sanitized(expand(f"{prefix}{name}{rule.get('suffix', flavor.suffix)}", at), dirty)
            newest = TYPES[rule.type].newest
            # As in the action, the rule of the first tag decides, since that is the image's version.
            if named and not found and flavor.latest == "auto" and newest and not at.facts.dirty:
                latest = newest(rule, at)
            found.append(named)
    if latest and any(found) and not at.facts.dirty:
        found.append(sanitized(expand(flavor.name_of_latest, at)))
    return tuple(dict.fromkeys(filter(None, found)))


def sanitized(text: str, suffix: str = "") -> str:
    """Return a text as a tag that every registry accepts; empty if no character is left.

    Invalid characters become `-`, as in the metadata action; a leading `.` or `-` is removed.
    """
    name = re.sub(r"[^a-zA-Z0-9._-]+", "-", text).lstrip(".-")
    return name[: LONGEST - len(suffix)] + suffix if name else ""


def _enabled(rule: Rule, at: BuildContext) -> bool:
    value = expand(rule.get("enable", "true"), at)
    if value not in ("true", "false"):
        fix = "write true, false or {{is_default_branch}}"
        raise invalid(f"enable={value} is neither true nor false", fix)
    return value == "true"


def from_text(lines: Sequence[str], at: BuildContext) -> tuple[str, ...]:
    """Return the tags by rules written as text, or by the default rules if there are none."""
    return tags(parse(lines or DEFAULT), at)


def unread(lines: Sequence[str], at: BuildContext) -> str:
    """Return the next step for a git tag that no rule parses; empty if one does."""
    if not at.tags or at.version:
        return ""
    for rule in parse(lines or DEFAULT).rules:
        of_tag = rule.type in ("semver", "pep440", "match") or rule.get("event") == "tag"
        if of_tag and _enabled(rule, at) and any(filter(None, TYPES[rule.type].find(rule, at))):
            return ""
    tag = at.tags[0]
    what = f"no tag rule reads the git tag {tag}, so the image is not named as a release"
    return f"{what}; add --tag-rules '{_rule_for(tag)}' where it is one"


def _rule_for(tag: str) -> str:
    """Return a rule that parses a git tag: its version after the prefix, or the tag unchanged."""
    ways = semver.fronted(tag)
    if not ways:
        return "type=ref,event=tag"
    front = tag[: len(ways[0][0]) + 1]
    quoted = re.sub(r"[.+*?()\[\]{}|^$\\]", r"\\\g<0>", front)
    attribute = f"match=^{quoted}v?(.*)$"
    return "type=semver,pattern={{version}}," + (f'"{attribute}"' if "," in attribute else attribute)


def none_given() -> InvalidArgument:
    """Return the error for rules that give no tag if an address needs one: `latest` would be a guess."""
    return invalid(
        "the tag rules give no tag for what is built here",
        "name the tag in the address, or add a rule that always gives one, as type=sha",
    )


UNNAMED: Mapping[str, Callable[[], RustMultiarchError]] = {"shallow": shallow, "no rule": none_given}
"""The reason why an image in a repository has no tag, and the error if a tag is required."""


def needed(lines: Sequence[str], at: BuildContext) -> tuple[str, ...]:
    """Return the tags of `from_text`; require at least one.

    Raises:
        InvalidArgument: the rules give no tag, or are invalid.
        ShallowClone: see `BuildContext.releases`.
    """
    found = from_text(lines, at)
    if not found:
        raise none_given()
    return found


def known(lines: Sequence[str], at: BuildContext) -> tuple[tuple[str, ...], str]:
    """Return the tags of `from_text`, and the key of `UNNAMED` if there are none.

    Raises:
        InvalidArgument: the rules are invalid.
    """
    try:
        found = from_text(lines, at)
    except ShallowClone:
        return (), "shallow"
    return found, "" if found else "no rule"
