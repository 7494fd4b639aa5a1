"""Give each process of a parallel run its own ports for the registry of base images."""

import pytest

from engine import registry


@pytest.fixture(autouse=True)
def own_ports(worker_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that look for a free port at the same time find the same one."""
    number = int(worker_id.removeprefix("gw")) if worker_id != "master" else 0
    first = registry.PRIVILEGED.start + 50 * (number % 10)
    monkeypatch.setattr(registry, "PRIVILEGED", range(first, first + 50))
