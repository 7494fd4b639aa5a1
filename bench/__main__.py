"""Command line of the benchmarks: `python -m bench run PLAN`, `python -m bench report FILE...`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import buildkit, images, machine, render, subjects, toolbox
from bench.peers import Cargo, DaggerCall, Dockerfile, Ours, Peer, Zigbuild
from bench.place import REGISTRY_PORT, Place
from bench.result import Result
from bench.run import SAMPLE_SECONDS, Runner
from bench.scenarios import (
    CALL,
    DIRECTORY,
    EASY,
    FLOOR,
    HARDER,
    MOUNTS,
    OURS,
    PLANS,
    PUBLISH,
    SESSION,
    ZIGBUILD,
    Row,
    chosen,
)
from bench.subjects import Copy
from engine import config, lifecycle, registry
from engine.locks import exclusive
from engine.log import to_stderr
from engine.record import BaseImages
from pipeline.errors import RustMultiarchError

DOCKERFILES = {EASY: ("easy", "easy"), HARDER: ("harder", "harder-workspace"), MOUNTS: ("harder-mounts",) * 2}
RESULTS = Path(__file__).with_name("results")
BUDGETS = {"short": 540.0}
"""Time limit for a plan's samples in seconds, without preparations."""


def run(options: argparse.Namespace) -> None:
    """Prepare, measure and print."""
    place = Place.default()
    place.create()
    rows = chosen(
        PLANS[options.plan], options.subject, options.scenario, options.peer, options.rounds, options.most
    )
    if not rows:
        sys.exit("nothing of the plan is left with these options")
    names = list(dict.fromkeys(name for row in rows for name in row.peers))
    platforms = list(dict.fromkeys(platform for row in rows for platform in row.case.platforms))
    with ExitStack() as stack:
        stack.enter_context(exclusive(place.root / "lock", to_stderr, "waiting for another run to end"))
        lifecycle.start(BaseImages(platforms), to_stderr, paths=place.engine, registry_port=REGISTRY_PORT)
        stack.callback(lifecycle.stop, to_stderr, paths=place.engine)
        lifecycle.publishing_registry(paths=place.engine, port=REGISTRY_PORT)
        stack.callback(toolbox.close)
        if not config.hub_reachable():
            images.trust(place)
        env = {**os.environ, **lifecycle.env(paths=place.engine)}
        tools = toolbox.open_toolbox(place, platforms, env)
        peers = _peers(stack, place, names, platforms, env, tools)
        copies = _copies(place, rows, tools)
        _prepare(rows, peers)
        result = _empty(options.plan, tools)
        RESULTS.mkdir(exist_ok=True)
        file = Path(options.output or RESULTS / f"{options.plan}.json")
        budget = options.budget if options.budget is not None else BUDGETS.get(options.plan, 0.0)
        lock = Path(options.lock) if options.lock else None
        runner = Runner(place, peers, copies, result, file, to_stderr, budget, options.limit, lock)
        result = runner.run(rows)
    print(render.text(result))
    to_stderr(f"written to {file}")


def _peers(
    stack: ExitStack,
    place: Place,
    names: Sequence[str],
    platforms: Sequence[str],
    env: Mapping[str, str],
    tools: toolbox.Toolbox,
) -> dict[str, Peer]:
    """Return the selected peers; start BuildKit if one of them needs it."""
    engine = lifecycle.status(paths=place.engine).pid
    assert engine, "the engine that was just started does not run"
    found: dict[str, Peer] = {
        OURS: Ours(place, env, engine),
        SESSION: Ours(place, env, engine, SESSION, "nothing"),
        PUBLISH: Ours(place, env, engine, PUBLISH, "publish"),
        DIRECTORY: Ours(place, env, engine, DIRECTORY, kept=place.work / "kept"),
        CALL: DaggerCall(place, env, engine),
        ZIGBUILD: Zigbuild(place, tools),
        FLOOR: Cargo(place, tools),
    }
    if set(names) & set(DOCKERFILES):
        address = registry.address_of(REGISTRY_PORT)
        mirror = "" if config.hub_reachable() else images.mirror(address)
        if mirror:
            emulated = ["linux/arm64"] if EASY in names else []
            storage = registry.storage(REGISTRY_PORT, cache=place.engine.root)
            images.store(place, storage, platforms, emulated, to_stderr)
        daemon = stack.enter_context(buildkit.running(place, address, mirror, to_stderr))
        for name, (single, workspace) in DOCKERFILES.items():
            found[name] = Dockerfile(name, place, daemon, dict(os.environ), single, workspace)
    return {name: found[name] for name in names}


def _copies(place: Place, rows: Sequence[Row], tools: toolbox.Toolbox) -> dict[tuple[str, str], Copy]:
    copies = {}
    for name in dict.fromkeys(row.case.subject for row in rows):
        subject = subjects.BY_NAME[name]
        original = subjects.provide(place, subject, tools)
        bumping = any(row.case.scenario == "bump" for row in rows if row.case.subject == name)
        bumped = subjects.bumped_lock(place, subject, tools) if bumping else None
        for peer in {peer for row in rows if row.case.subject == name for peer in row.peers}:
            copies[peer, name] = Copy(subject, place.work / peer / name, original, bumped)
    return copies


def _prepare(rows: Sequence[Row], peers: Mapping[str, Peer]) -> None:
    """Prepare toolchain layers and base images of every set of platforms, for every peer that needs them."""
    needed = {(peer, platforms): None for row in rows for peer in row.peers for platforms in _sets(row)}
    for name, platforms in needed:
        if name in (SESSION, CALL, PUBLISH, DIRECTORY) and (OURS, platforms) in needed:
            continue  # the same engine with the same toolchain
        to_stderr(f"preparing {name} for {', '.join(platforms)}")
        peers[name].prepare(platforms)


def _sets(row: Row) -> list[tuple[str, ...]]:
    platforms = row.case.platforms
    return [platforms, platforms[:1]] if row.case.scenario == "second" else [platforms]


def _empty(plan: str, tools: toolbox.Toolbox) -> Result:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Result(plan, machine.commit(), machine.facts(), machine.versions(tools), now)


def report(options: argparse.Namespace) -> None:
    """Print earlier results; with --docs write the tables and charts of the documentation."""
    results = [Result.read(Path(name)) for name in options.files]
    for result in results:
        print(render.text(result))
    if options.docs:
        render.write_docs(Path(options.docs), results)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help="measure")
    running.add_argument("plan", choices=PLANS)
    for name in ("subject", "scenario", "peer"):
        running.add_argument(f"--{name}", action="append", default=[], help=f"only this {name}; repeatable")
    running.add_argument("--rounds", type=int, default=0, help="instead of the plan's")
    running.add_argument("--most", type=int, default=0, help="only cases of this many platforms or fewer")
    running.add_argument("--budget", type=float, help="seconds for all samples together; 0 for no end")
    running.add_argument("--limit", type=float, default=SAMPLE_SECONDS, help="seconds for one sample")
    running.add_argument(
        "--lock", help="a file to lock for every sample, where other work shares the machine"
    )
    running.add_argument("--output", help="where the result goes instead of bench/results/PLAN.json")
    running.set_defaults(do=run)
    reporting = commands.add_parser("report", help="print what was measured")
    reporting.add_argument("files", nargs="+")
    reporting.add_argument(
        "--docs", help="directory of the documentation, whose charts and tables are renewed"
    )
    reporting.set_defaults(do=report)
    options = parser.parse_args(arguments)
    # Killing the process would leave the engine and BuildKit running.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        options.do(options)
    except RustMultiarchError as error:
        print(error.render(), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
