"""Define the number of random edits in the tests of compiled state."""

from pathlib import Path

import pytest
from cargo_driver import Volume


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "later: takes long, or a faster test is alike; not in `make test`")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", default="1", help="seeds of random edits, with spaces between")
    parser.addoption("--steps", default=30, type=int, help="edits for each seed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", [int(seed) for seed in metafunc.config.getoption("--seeds").split()])


@pytest.fixture
def steps(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--steps"))


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)
