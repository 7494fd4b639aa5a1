"""Format a plan as text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.config import settings
from pipeline.native.natives import named
from pipeline.preview.data import BaseImage, PlannedPackage, Preview, Setting, TargetPlan
from pipeline.text_table import columns


def as_text(preview: Preview) -> str:
    """Format the preview as text."""
    sections = [
        _summary(preview),
        _section("Command", [shlex.join(command) for command in preview.commands]),
        *(_target_section(target) for target in preview.targets),
        _section("Labels", columns(list(preview.labels.items()))),
        _section("Settings", _settings_lines(preview.settings)),
        _section("Warnings", preview.warnings),
        _section("Suggestions", preview.suggestions),
    ]
    return "\n\n".join(filter(None, sections))


def _summary(preview: Preview) -> str:
    rows = [
        ("Build", ", ".join(preview.binaries)),
        ("Platforms", ", ".join(target.platform for target in preview.targets)),
        ("Rust", preview.rust),
        ("C library", " ".join(filter(None, (preview.libc, preview.glibc)))),
        ("Builder", _image(preview.builder)),
        *(("Runtime", _image(base)) for base in dict.fromkeys(target.base for target in preview.targets)),
        *(("Tools", _image(tool)) for tool in preview.tools),
        ("Cache", preview.cache),
        *(("Push to", tag) for tag in preview.tags),
    ]
    return "\n".join([*columns(rows), *(_packages("Packages", preview.packages))])


def _image(base: BaseImage) -> str:
    return f"{base.name}@{base.digest}" if base.digest else base.name


def _packages(title: str, packages: Sequence[PlannedPackage]) -> list[str]:
    rows = [(package.name, package.place, package.why) for package in packages]
    return [title, *_indented(columns(rows))] if rows else []


def _target_section(target: TargetPlan) -> str:
    environment = [f"{name}={value}" for name, value in target.environment.items()]
    natives = [(named(each.crate, each.version), each.wants, each.why) for each in target.natives]
    lines = [
        *_packages("packages", target.packages),
        *(["native crates", *_indented(columns(natives))] if natives else []),
        "environment",
        *_indented(environment),
    ]
    return _section(f"{target.platform}: {target.triple}, {target.cpu} or newer", lines)


def _settings_lines(found: Sequence[Setting]) -> list[str]:
    """Return lines with each setting and its source; defaults are only named."""
    rows = [(s.name, _shown(s.value), s.origin) for s in found if s.origin != settings.DEFAULT]
    rest = ", ".join(s.name for s in found if s.origin == settings.DEFAULT)
    return [*columns(rows), *([f"default: {rest}"] if rest else [])]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else json.dumps(value).strip('"')


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *_indented(lines)]) if lines else ""


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
