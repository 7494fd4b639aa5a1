"""The pages that are made from the code. Run by `make docs`."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import json
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin

import typer
from dagger import mod

from docs import plan_schema, screens
from pipeline import RustMultiarch, cli, errors
from pipeline.errors import RustMultiarchError
from pipeline.native.native_table import NATIVES, Native

ROOT = Path(__file__).parents[1]
CODE = ("pipeline", "engine")
HEADER = "<!-- Made from the code by `make docs`; edit the code instead. -->\n"


def pages() -> dict[Path, str]:
    """Every generated page, text by path."""
    docs = ROOT / "docs"
    return {
        docs / "reference.md": reference(),
        docs / "plan.schema.json": plan_schema.schema(),
        docs / "troubleshooting.md": troubleshooting(),
        docs / "public-reports.md": public_reports(),
        docs / "native-crates.md": native_crates(),
        docs / "screens.md": HEADER + screens.page(),
        docs / "terminal.svg": screens.svg(),
    }


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a Markdown table; pipes and line breaks in cells are escaped."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return [
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    ]


# ----- native crates


def native_crates() -> str:
    """Return the native crate table, each row with the zoo crates that prove it."""
    zoo = [_Zoo.read(path.parent) for path in sorted((ROOT / "tests/data/zoo").glob("*/Cargo.toml"))]
    rows = [_native_row(row, zoo) for row in NATIVES]
    proven = sum(row[-1] != "unproven" for row in rows)
    lines = [HEADER, "# Native crates", ""]
    lines += [
        "The rows of `pipeline/native/native_table.py`. A row is proven if a crate of "
        "[the zoo](targets-and-native-libraries.md#the-zoo) that depends on the crate, with the features in "
        "the condition, was built for each platform and printed the expected text. All other rows come from "
        f"the documentation and the build scripts of the crates. {proven} of {len(rows)} rows are proven.",
        "",
    ]
    head = ("crate", "condition", "what it does", "Debian packages", "proven by")
    return "\n".join([*lines, *table(head, rows)]) + "\n"


@dataclasses.dataclass(frozen=True)
class _Zoo:
    """A zoo crate: its name, the packages and features it builds, and whether its last build succeeded."""

    name: str
    packages: frozenset[str]
    features: frozenset[str]
    works: bool

    @classmethod
    def read(cls, directory: Path) -> _Zoo:
        lock = tomllib.loads((directory / "Cargo.lock").read_text())
        manifest = tomllib.loads((directory / "Cargo.toml").read_text())
        sections = (manifest.get("dependencies", {}), manifest.get("build-dependencies", {}))
        tables = [spec for section in sections for spec in section.values()]
        features = {name for spec in tables if isinstance(spec, dict) for name in spec.get("features", ())}
        results = json.loads((directory.parent / "results.json").read_text()).get(directory.name, {})
        return cls(
            directory.name,
            frozenset(package["name"] for package in lock["package"]),
            frozenset(features),
            bool(results) and all(each["result"] == "ok" for each in results.values()),
        )

    def proves(self, row: Native) -> bool:
        """Whether this crate's build shows that a row works."""
        everywhere = not row.platforms or bool({"linux/amd64", "linux/arm64"} & {*row.platforms})
        return (
            self.works
            and row.crate in self.packages
            and not {*row.unless} & self.packages
            and {*row.when} <= self.features
            and not {*row.without} & self.features
            and not row.impossible
            and row.libc is None
            and everywhere
        )


def _native_row(row: Native, zoo: list[_Zoo]) -> tuple[str, ...]:
    terms = [
        *(f"feature {name}" for name in row.when),
        *(f"without feature {name}" for name in row.without),
        *(f"without {name}" for name in row.unless),
        ", ".join(row.platforms),
        row.libc.value if row.libc else "",
    ]
    packages = " ".join((*row.host, *row.target, *row.loaded))
    shown = row.why if not row.impossible else f"{row.why}: refused, {row.impossible}"
    proofs = ", ".join(each.name for each in zoo if each.proves(row))
    return f"`{row.crate}`", "; ".join(filter(None, terms)), shown, packages, proofs or "unproven"


# ----- reference


def reference() -> str:
    """Dagger functions with their arguments, then commands with their options."""
    module = mod.default_module()
    lines = [HEADER, "# Reference", "", "## Dagger", ""]
    lines += ["An argument with a default may be left out. `dagger call` spells it `--name`.", ""]
    for name in (RustMultiarch.__name__, "Image", "Variant"):
        lines += _object(module, name)
    lines += ["## Command line", ""]
    for path, command in _commands(typer.main.get_command(cli.app), "rust-multiarch"):
        lines += _command(path, command)
    return "\n".join(lines).rstrip() + "\n"


def _object(module: Any, name: str) -> list[str]:
    described = module.get_object(name)
    lines = [f"### {name}", "", (described.cls.__doc__ or "").strip(), ""]
    if name == "RustMultiarch":
        parameters = dict(described.get_constructor(module._converter).parameters)
        del parameters["ws"]  # Dagger gives it: no caller has to know of it.
        lines += ["Arguments of the constructor:", "", *_arguments(parameters, _factories(described.cls)), ""]
    if described.fields:
        fields = [
            (f"`{_kebab(key)}`", _doc(described.cls, field.original_name))
            for key, field in described.fields.items()
        ]
        lines += ["Fields:", "", *table(("field", "what it is"), fields), ""]
    for key, function in described.functions.items():
        if not key:
            continue
        lines += [f"#### {name}: {_kebab(key)}", "", f"{(function.doc or '').strip()}", ""]
        lines += [f"Returns {_type(function.return_type)}.", ""]
        if function.parameters:
            lines += [*_arguments(function.parameters), ""]
    return lines


def _factories(kind: type) -> dict[str, Any]:
    """Defaults that a dataclass makes anew for each object."""
    made = [each for each in dataclasses.fields(kind) if each.default_factory is not dataclasses.MISSING]
    return {each.name: each.default_factory() for each in made}


def _arguments(parameters: Any, factories: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    rows = [
        (f"`{_kebab(name)}`", _type(p.resolved_type), _default(p, factories.get(name)), p.doc or "")
        for name, p in parameters.items()
    ]
    return table(("argument", "type", "default", "what it is"), rows)


def _default(parameter: Any, made: Any) -> str:
    if not parameter.is_optional:
        return "required"
    default = made or parameter.signature.default
    if hasattr(default, "value"):  # an enumeration's member
        return f"`{default.value}`"
    if isinstance(default, list):
        return f"`{','.join(map(str, default))}`"
    return f"`{default}`" if isinstance(default, (str, int)) and default not in ("", False) else ""


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).replace("_", "-").lower()


def _type(kind: Any) -> str:
    if get_origin(kind) is list:
        return f"list of {_type(get_args(kind)[0])}"
    optional = [part for part in get_args(kind) if part is not type(None)]
    if optional and get_origin(kind) is not type:
        return _type(optional[0])
    return {"str": "text", "int": "number", "bool": "flag"}.get(kind.__name__, kind.__name__)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below this one that does something, by how it is typed."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, each in below.items():
        yield from _commands(each, f"{path} {name}")


def _command(path: str, command: Any) -> list[str]:
    rows = []
    for parameter in command.params:
        if parameter.name in ("help", "install_completion", "show_completion"):
            continue
        option = parameter.param_type_name == "option"
        names = ", ".join(f"`{name}`" for name in parameter.opts) if option else f"`{parameter.name}`"
        rows.append((names, _option_default(parameter), getattr(parameter, "help", "") or ""))
    lines = [f"### {path}", "", " ".join((command.help or "").split()), ""]
    return lines + ([*table(("option", "default", "what it is"), rows), ""] if rows else [])


def _option_default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = getattr(parameter.default, "value", parameter.default)
    if isinstance(default, (list, tuple)):
        default = ",".join(map(str, default))
    return f"`{default}`" if default not in (None, "", False) else ""


# ----- troubleshooting


@dataclasses.dataclass(frozen=True, order=True)
class Message:
    """What an error can say: the sentence, and the next step; `…` stands for what is filled in."""

    what: str
    fix: str


def troubleshooting() -> str:
    """Every error in the order of its exit code, with every message the code has for it."""
    found = messages()
    lines = [HEADER, "# Troubleshooting", ""]
    lines += [
        "Every failure ends in a message of three lines: what is wrong, `where`, and `next`. Its first word",
        "is one of these headings. `…` stands for what is filled in. `rust-multiarch` and `dagger call` exit",
        "with the code. Codes are stable across releases.",
        "",
    ]
    own = [error for error in _errors() if "exit_code" in vars(error)]
    rows = [(str(each.exit_code), f"`{each.__name__}`", _first(each.__doc__)) for each in own]
    lines += [*table(("exit code", "error", "meaning"), sorted(rows, key=lambda row: int(row[0]))), ""]
    for error in sorted(_errors(), key=lambda each: (each.exit_code, each.__name__)):
        rows = [(message.what, message.fix) for message in sorted(found[error.__name__])]
        if not rows and ("exit_code" not in vars(error) or error is RustMultiarchError):
            continue
        lines += [f"## {error.__name__}", "", f"Exit code {error.exit_code}. {_first(error.__doc__)}", ""]
        lines += [*table(("message", "what to do"), rows), ""] if rows else []
    return "\n".join(lines).rstrip() + "\n"


def _errors() -> list[type[RustMultiarchError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, RustMultiarchError)
    ]


def messages() -> dict[str, set[Message]]:
    """Every message in the code, by the name of its error: those that are raised, those of the tables."""
    found: dict[str, set[Message]] = defaultdict(set)
    names = {error.__name__ for error in _errors()}
    for path in sorted(each for folder in CODE for each in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in names
                and node.args
            ):
                keywords = {keyword.arg: keyword.value for keyword in node.keywords}
                what, fix = (re.sub("…+", "…", _text(part)) for part in (node.args[0], keywords.get("fix")))
                if what.strip("…"):
                    found[node.func.id].add(Message(what, fix.strip()))
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for row in _rows(importlib.import_module(name.removesuffix(".__init__"))):
            found[row.error.__name__].add(Message(_filled(row.what), _filled(row.fix)))
    return found


def _rows(module: Any) -> Iterator[Any]:
    """Rows of the tables of messages that a module has: dataclasses with an error, a what and a fix."""
    for value in vars(module).values():
        for row in value if isinstance(value, tuple) else (value,):
            if (
                dataclasses.is_dataclass(row)
                and not isinstance(row, type)
                and hasattr(row, "error")
                and row.what
            ):
                yield row


def _text(node: ast.expr | None) -> str:
    """Return the text of an expression, with `…` for values that are known when it runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return "" if node is None else "…"


def _filled(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "…", text)


def _first(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


def _doc(kind: type, name: str) -> str:
    metadata = getattr(kind.__annotations__[name], "__metadata__", ())
    return next((note.documentation for note in metadata if hasattr(note, "documentation")), "")


# ----- public reports


def public_reports() -> str:
    """Return a table of the reports in tests/e2e/test_cases.py, their commands and what is checked."""
    cases = _cases()
    lines = [HEADER, "# Public reports we tried", ""]
    lines += [
        "Each report is a thread about building Rust projects or images, made small again as a project. The",
        "commands are run by [test_cases.py](../tests/e2e/test_cases.py), which checks the outcome.",
        "Numbers that are missing were not made into projects. Commands about one report are independent of",
        "each other, except those whose outcome begins with `Then`.",
        "",
    ]
    rows = []
    for number, report in sorted(cases.REPORTS.items()):
        shown = f"{report.title} {', '.join(map(_thread, report.threads)) or 'Found by reading our code.'}"
        for outcome, command in _commands_of(cases, number):
            rows.append((number, shown, outcome, f"`{command}`"))
            shown = ""
    lines += table(("number", "report", "outcome", "command"), rows)
    return "\n".join(lines) + "\n"


def _cases() -> Any:
    """Return the module of the cases; under a name of its own, since pytest imports it too."""
    path = ROOT / "tests/e2e/test_cases.py"
    spec = importlib.util.spec_from_file_location("public_reports", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _thread(name: str) -> str:
    repository, _, number = name.partition("#")
    return f"[{name}](https://github.com/{repository}/issues/{number})"


def _commands_of(cases: Any, number: str) -> Iterator[tuple[str, str]]:
    """Yield outcome and command of each row about a report."""
    for case in cases.CASES:
        if case.number == number:
            words = {
                "project": case.project,
                "work": "out",
                "registry": "localhost:5000",
                "unique": "{unique}",
            }
            if cases.REPORTS[number].made:
                words["project"] = "checkout"
            command = f"rust-multiarch {case.arguments.format(**words)}".replace("-{unique}", "")
            variables = [f"{name}={value} " for name, value in case.environment.items()]
            code = f"Exit code {case.code}. " if case.code else ""
            yield code + case.right.__doc__, "".join(variables) + command
    _, builds = cases.SEQUENCES.get(number, ("", ()))
    for place, built in enumerate(builds):
        outcome = f"{'Then the' if place else 'The'} program prints `{built.prints}`."
        if built.change:
            file, old, new = built.change
            outcome = f"Then, with `{new}` for `{old}` in {file}, the program prints `{built.prints}`."
        words = [
            "rust-multiarch binary --platform",
            cases.AMD64 + built.more,
            built.arguments,
            "--output out",
        ]
        yield outcome, " ".join(filter(None, [*words, built.project]))


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)
