"""What `make test` leaves out of the end-to-end tests: what another test shows in less time.

`pytest tests/e2e` runs all of them, `make test-all` those of the long suites too. Whoever changes something
runs the files that it touches.
"""

LATER = {
    "test_sample_app.py": "compiles 149 crates; test_image.py shows the same on a service without any",
    "test_engine.py": "starts a second engine; every other test uses the first",
    "test_merge.py": "compiles crane; test_dagger_call.py merges too",
    "test_referrers.py": "compiles oras and two registries; test_secrets.py attaches and signs",
}
"""Files and tests (`file::test`), with the reason."""


def left_out(nodeid: str) -> bool:
    """Return whether `make test` leaves a test out, by its identifier in pytest."""
    file, _, test = nodeid.rpartition("/")[2].partition("::")
    return file in LATER or f"{file}::{test.partition('[')[0]}" in LATER or f"{file}::{test}" in LATER
