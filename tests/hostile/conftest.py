import pytest
from hypothesis import HealthCheck, settings

QUICK, THOROUGH = 50, 5_000

settings.register_profile(
    "quick", max_examples=QUICK, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "thorough", max_examples=THOROUGH, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("quick")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
