"""List the end-to-end tests that `make test` leaves out because a faster test covers them.

`pytest tests/e2e` runs all of them, `make test-all` those of the long suites too. After a change, run the
files of the changed features.
"""

LATER = {
    "test_attest.py::test_scanners_find_the_crates_in_the_binary": "compiles a scanner of binaries",
    "test_attest.py::test_each_platforms_binary_has_its_own_crates": "compiles a scanner of binaries",
    "test_attest.py::test_an_image_with_everything": "compiles cosign and oras; test_secrets.py signs too",
    "test_attest.py::test_nothing_is_attached_unasked": "compiles oras, a registry client",
    "test_attest.py::test_the_same_documents_again_are_not_sent_again": "compiles oras, a registry client",
    "test_attest.py::test_a_key_is_tried_before_anything_is_built": "compiles cosign for a key of it",
    "test_cases.py::test_case[30-build1]": "compiles the standard library for musl",
    "test_docs.py": "compiles cosign for a key of it; the other tests have the commands of the README",
    "test_engine.py": "starts a second engine; every other test uses the first",
    "test_merge.py": "compiles crane; test_dagger_call.py merges too",
    "test_referrers.py": "compiles oras and two registries; test_secrets.py attaches and signs",
    "test_sample_app.py": "compiles 149 crates; test_image.py shows the same on a service without any",
    "test_setup.py::test_the_environment_is_made_with[newest]": "the oldest pip is the one that differs",
}
"""Files and tests (`file::test`), with the reason."""


def left_out(nodeid: str) -> bool:
    """Return True if `make test` leaves a test out, by its identifier in pytest."""
    path, _, test = nodeid.partition("::")
    file = path.rpartition("/")[2]
    return file in LATER or f"{file}::{test.partition('[')[0]}" in LATER or f"{file}::{test}" in LATER
