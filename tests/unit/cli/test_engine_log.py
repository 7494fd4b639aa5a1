import pytest

from pipeline.cli import engine_log
from pipeline.progress.events import CrateReady, Event, Working

AMD64, ARM64 = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
SERDE, PATH_CRATE = CrateReady(ARM64, "serde@1.0.2", False), CrateReady(AMD64, "a 1.0 (path+x)", True)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("70  : [1.7s] |    Compiling hello v0.1.0 (/build/src)", Working("hello v0.1.0")),
        ("\x1b[95m7   : \x1b[0m\x1b[90;2m┆ \x1b[0m\x1b[90m[0.1s] | \x1b[0m    Updating x\n", Working()),
        (f"7   : ┆ ┆ [12.0s] |        Built serde@1.0.2 for {ARM64}", SERDE),
        (f"7   : [0.0s] |        Fresh a 1.0 (path+x) for {AMD64}", PATH_CRATE),
        (f"7   : ┆ [1m2s] |        Built a 1.0 for {ARM64}", CrateReady(ARM64, "a 1.0", False)),
        (f"7   : ┆ [1h0m9s] |        Built a 1.0 for {ARM64}", CrateReady(ARM64, "a 1.0", False)),
        (f"7   : [INVALID_DURATION] |        Built a 1.0 for {ARM64}", CrateReady(ARM64, "a 1.0", False)),
        ("70  : [1.7s] | warning: unused variable", None),
        (f"70  : withExec sed Built x for {ARM64}", None),
        ("70  : Container.withExec DONE [3.8s]", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_event_of_a_line(line: str, event: Event | None) -> None:
    assert engine_log.parse(line) == event


SERVICE = """13  : ┆ Container.asService(useEntrypoint: true): Service!
14  : ┆ Host.tunnel(
13  : ┆ Container.asService DONE [0.0s]
19  : [0.1s] | 07:56:16 WRN port not ready
13  : ┆ [0.3s] | listening
14  : ┆ ┆ service: Container.asService(useEntrypoint: true): Service!
14  : ┆ [0.4s] | more
19  : 8080/tcp DONE [0.2s]
13  : ┆ Container.asService(useEntrypoint: true): Service!
13  : ┆ [1m2s] |   Container.asService DONE [0.0s]
7   : [0.0s] | of another step
21  : Container.withExec(args: [], useEntrypoint: true): Container!
21  : [0.1s] | of a program without ports
21  : Container.withExec DONE [0.1s]
"""


def test_the_output_of_a_program() -> None:
    program = engine_log.ProgramLog()
    read = [program.read(line) for line in SERVICE.splitlines()]
    assert [line for line in read if line is not None] == [
        "listening", "more", "  Container.asService DONE [0.0s]", "of a program without ports",
    ]  # fmt: skip
    assert program.read("14  : ┆ Host.tunnel ERROR [2.6s]") is None
