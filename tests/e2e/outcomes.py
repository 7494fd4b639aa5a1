"""Record the results of building many projects for many platforms, and show them in the docs."""

import json
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagger

from pipeline import RustMultiarch, errors

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/targets-and-native-libraries.md"

Results = dict[str, dict[str, dict[str, str]]]
"""By project and platform: `result` (`ok` or the failure), and the `commit` and `date` of the build."""

REFUSED = "refused"
"""The result of a build that cannot be done, and that ends before the compile with the reason."""

Try = Callable[[dagger.Container], Awaitable[str]]
"""A function that starts a variant, and returns `ok` or the failure."""


@dataclass(frozen=True)
class Suite:
    """Projects that are built without any configuration, and the table of the results.

    Attributes:
        name: the name of its make target and of its marks in the document.
        results: the file of the results.
        platforms: the platforms of each project.
        heading: the heading of the second column.
        projects: the text in the second column, by project.
        title: the heading of the first column; by default, the name.
        columns: what `platforms` are, if not platforms.
    """

    name: str
    results: Path
    platforms: tuple[str, ...]
    heading: str
    projects: Mapping[str, str]
    title: str = ""
    columns: str = "on {} platforms"

    @property
    def marks(self) -> tuple[str, str]:
        """Return the lines of the document before and after the table."""
        return (
            f"<!-- {self.name}: made by `make {self.name}`, not by hand -->",
            f"<!-- end of {self.name} -->",
        )

    def read(self) -> Results:
        """Read all results so far."""
        return json.loads(self.results.read_text()) if self.results.exists() else {}

    def record(self, project: str, outcomes: Mapping[str, str]) -> None:
        """Write the results of a project by platform, with the commit; other results are kept."""
        command = ["git", "rev-parse", "--short", "HEAD"]
        commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        measured = {"commit": commit, "date": datetime.now(UTC).date().isoformat()}
        results = self.read()
        rows = {platform: {"result": result, **measured} for platform, result in outcomes.items()}
        results[project] = results.get(project, {}) | rows
        self.results.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")

    def table(self, results: Results) -> str:
        """Return the results as a Markdown table, followed by each failure with its reason."""
        lines = [f"| {self.title or self.name} | {self.heading} | {' | '.join(self.platforms)} |"]
        lines += ["| --- " * (len(self.platforms) + 2) + "|"]
        failures, count = [], {"ok": 0, "failed": 0, REFUSED: 0, "not run": 0}
        for project, text in self.projects.items():
            cells = []
            for platform in self.platforms:
                result = results.get(project, {}).get(platform, {}).get("result", "not run")
                word = result if result in count else "failed"
                count[word] += 1
                cells.append(f"**{word}**" if word == "failed" else word)
                if word == "failed":
                    failures.append(f"- {project}, {platform}: {result}")
            lines.append(f"| {project} | {text} | {' | '.join(cells)} |")
        known = {word: number for word, number in count.items() if number or word != REFUSED}
        total = ", ".join(f"{number} {word}" for word, number in known.items())
        first = f"{len(self.projects)} {self.columns.format(len(self.platforms))}: {total}."
        return "\n".join([first, "", *lines, "", *failures])

    def with_table(self, document: str, results: Results) -> str:
        """Return the document with the table between its two marks replaced."""
        begin, end = self.marks
        before, rest = document.split(begin)
        after = rest.split(end)[1]
        return f"{before}{begin}\n\n{self.table(results).strip()}\n\n{end}{after}"

    def renew(self) -> None:
        """Write the table into the document."""
        DOCUMENT.write_text(self.with_table(DOCUMENT.read_text(), self.read()))


async def of(source: dagger.Directory, platforms: tuple[str, ...], tried: Try) -> dict[str, str]:
    """Return the results of one build by platform: `ok`, or the first line of the error."""
    try:
        image = await RustMultiarch(source=source, platforms=list(platforms)).build()
    except (errors.RustMultiarchError, dagger.QueryError) as error:
        print(error.render() if isinstance(error, errors.RustMultiarchError) else error)
        if len(platforms) == 1:
            return {platforms[0]: str(error).splitlines()[0]}
        # One call compiles for all platforms; separate builds show which one failed.
        return {
            p: result
            for platform in platforms
            for p, result in (await of(source, (platform,), tried)).items()
        }
    return {variant.platform: await tried(variant.container) for variant in image.variants}


def printing(expected: str, arguments: tuple[str, ...] = (), stdin: str = "") -> Try:
    """Return a try of a program that ends by itself: its expected output, with any exit code."""

    async def tried(container: dagger.Container) -> str:
        ran = container.with_exec(
            list(arguments), use_entrypoint=True, stdin=stdin, expect=dagger.ReturnType.ANY
        )
        printed = await ran.stdout() + await ran.stderr()
        if expected in printed:
            return "ok"
        print(printed)
        return f"exit code {await ran.exit_code()} when it was started: {last(printed)}"

    return tried


def last(text: str) -> str:
    """Return a text's last line."""
    return next(iter(text.strip().splitlines()[-1:]), "")
