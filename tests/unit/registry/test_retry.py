import pytest

from pipeline.registry.retry import Retry, retry_after

NOW = 1_700_000_000.0


def test_waits_double_up_to_a_limit() -> None:
    retry = Retry(attempts=5, first_seconds=1, longest_seconds=3)
    assert [retry.wait(failures, None) for failures in range(1, 6)] == [1, 2, 3, 3, None]


def test_retry_after_takes_precedence_within_the_limit() -> None:
    retry = Retry(attempts=5, first_seconds=1, longest_seconds=10)
    assert retry.wait(1, 7) == 7
    assert retry.wait(1, 0) == 1
    assert retry.wait(1, 11) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("30", 30),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds
