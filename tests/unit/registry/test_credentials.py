import base64
import json
import stat
from pathlib import Path

import pytest

from pipeline.errors import CredentialsUnavailable
from pipeline.registry import credentials
from pipeline.registry.credentials import (
    DockerConfig,
    Login,
    config_paths,
    first_of,
    from_docker,
    from_secrets,
)
from pipeline.registry.publish import RegistryLogin, by_host

pytestmark = pytest.mark.anyio

CANARY = "s3cret-canary"


def auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_parses_logins() -> None:
    entries = {
        "ghcr.io": {"auth": auth("me:pa:ss")},
        "https://quay.io/v2/": {"auth": auth("q:p\0\0")},
        "https://index.docker.io/v1/": {"auth": auth("hub:h")},
        "127.0.0.1:5000": {"username": "u", "password": "p"},
        "x.azurecr.io": {"auth": auth("00000000-0000:"), "identitytoken": "token"},
        "helped.io": {},
    }
    config = DockerConfig.parse(json.dumps({"auths": entries}))
    assert config.logins == {
        "ghcr.io": Login("me", "pa:ss"),
        "quay.io": Login("q", "p"),
        "docker.io": Login("hub", "h"),
        "127.0.0.1:5000": Login("u", "p"),
        "x.azurecr.io": Login(identity_token="token"),
    }


HUB = "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    "best_first",
    [
        (HUB, "docker.io", "https://registry-1.docker.io/v2/", "docker.io/library"),
        ("quay.io", "https://quay.io", "https://quay.io/v2/", "quay.io/orgA"),
        (HUB, "index.docker.io", "docker.io/me/app"),
    ],
)
def test_the_key_of_the_whole_host_takes_precedence(best_first: tuple[str, ...]) -> None:
    entries = [(key, {"auth": auth(f"user-{number}:p")}) for number, key in enumerate(best_first)]
    for number in range(len(entries)):
        left = entries[number:]
        for order in (left, left[::-1]):
            logins = DockerConfig.parse(json.dumps({"auths": dict(order)})).logins
            assert list(logins.values()) == [Login(f"user-{number}", "p")]


@pytest.mark.parametrize("key", ["access-token", "refresh-token"])
def test_web_login_tokens_are_ignored(key: str) -> None:
    token = {HUB + key: {"auth": auth(f"me:{CANARY}")}}
    password = {HUB: {"auth": auth("me:password")}}
    for entries in (token | password, password | token):
        logins = DockerConfig.parse(json.dumps({"auths": entries})).logins
        assert logins == {"docker.io": Login("me", "password")}
    assert DockerConfig.parse(json.dumps({"auths": token})).logins == {}


@pytest.mark.parametrize("empty", [{}, {"auth": ""}])
@pytest.mark.parametrize(("whole", "other"), [("quay.io", "quay.io/orgA"), (HUB, "docker.io")])
def test_an_empty_entry_does_not_hide_a_login(whole: str, other: str, empty: dict[str, str]) -> None:
    full = {"auth": auth("me:p")}
    for entries in ({whole: empty, other: full}, {other: full, whole: empty}, {whole: full, other: empty}):
        logins = DockerConfig.parse(json.dumps({"auths": entries})).logins
        assert list(logins.values()) == [Login("me", "p")]


def test_an_empty_file_has_no_logins() -> None:
    assert DockerConfig.parse("") == DockerConfig.parse('{"auths": null}') == DockerConfig()


def test_the_helper_of_the_whole_host_takes_precedence() -> None:
    helpers = {"quay.io": "whole", "quay.io/orgA": "part"}
    for table in (helpers, dict(reversed(helpers.items()))):
        config = DockerConfig.parse(json.dumps({"credHelpers": table}))
        assert config.program("quay.io") == "docker-credential-whole"


def test_helper_programs() -> None:
    config = DockerConfig.parse('{"credsStore": "pass", "credHelpers": {"gcr.io": "gcloud", "plain.io": ""}}')
    programs = [config.program(host) for host in ("ghcr.io", "gcr.io", "plain.io")]
    assert programs == ["docker-credential-pass", "docker-credential-gcloud", ""]


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"auths": [1]}', '{"auths": {"a": {"auth": "%%"}}}', '{"auths": {"a": 1}}']
)
def test_an_invalid_file_is_an_error(text: str) -> None:
    with pytest.raises(CredentialsUnavailable) as raised:
        DockerConfig.parse(text, "/home/me/.docker/config.json")
    assert raised.value.where == "/home/me/.docker/config.json"


def test_errors_do_not_quote_the_file() -> None:
    with pytest.raises(CredentialsUnavailable) as raised:
        DockerConfig.parse(json.dumps({"auths": {"a": {"auth": CANARY + "%"}}}))
    assert CANARY not in raised.value.render() and raised.value.__cause__ is None


def test_a_login_does_not_print_its_secrets() -> None:
    login = Login("me", CANARY, CANARY)
    assert CANARY not in repr(login) + str(login) + repr(DockerConfig({"a": login}))


def test_configuration_paths() -> None:
    home = Path("/home/me")
    assert config_paths({}, home) == (home / ".docker/config.json", home / ".config/containers/auth.json")
    named = {"DOCKER_CONFIG": "/d", "REGISTRY_AUTH_FILE": "/r.json", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert list(map(str, config_paths(named, home))) == [
        "/d/config.json", "/r.json", "/run/user/1/containers/auth.json",
        "/home/me/.config/containers/auth.json",
    ]  # fmt: skip


class Secret:
    read = 0

    async def plaintext(self) -> str:
        self.read += 1
        return CANARY


async def test_secrets_are_read_on_demand() -> None:
    secret = Secret()
    keychain = from_secrets({"ghcr.io": ("me", secret)})
    assert await keychain("docker.io") is None and secret.read == 0
    assert await keychain("ghcr.io") == Login("me", CANARY)


async def test_the_first_keychain_with_a_login_is_used() -> None:
    keychain = first_of(
        credentials.anonymous,
        from_secrets({"a.io": ("one", Secret())}),
        from_secrets({"a.io": ("two", Secret()), "b.io": ("three", Secret())}),
    )
    logins = [await keychain(host) for host in ("a.io", "b.io", "c.io")]
    assert [login and login.username for login in logins] == ["one", "three", None]


def helper(directory: Path, name: str, script: str) -> dict[str, str]:
    """Install a credential helper and return the environment that finds it."""
    path = directory / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{directory}:/usr/bin:/bin", "DOCKER_CONFIG": str(directory)}


def configure(directory: Path, **document: object) -> None:
    (directory / "config.json").write_text(json.dumps(document))


async def test_a_credential_helper_is_run_for_its_host(tmp_path: Path) -> None:
    script = """[ "$1" = get ] || exit 3
read -r key
case "$key" in
  ghcr.io) echo '{"ServerURL":"ghcr.io","Username":"me","Secret":"s3cret-canary"}' ;;
  https://index.docker.io/v1/) echo '{"Username":"<token>","Secret":"s3cret-canary"}' ;;
  *) echo "credentials not found in native keychain"; exit 1 ;;
esac"""
    environ = helper(tmp_path, "made", script)
    configure(tmp_path, credsStore="made", auths={"quay.io": {"auth": auth("q:p")}})
    keychain = from_docker(environ)
    assert await keychain("ghcr.io") == Login("me", CANARY)
    assert await keychain("docker.io") == Login(identity_token=CANARY)
    assert await keychain("other.io") is None
    assert await keychain("quay.io") == Login("q", "p"), "the file is used if the helper has nothing"


@pytest.mark.parametrize(
    ("script", "what"),
    [("echo 'vault is locked' >&2; exit 4", "ended with 4"), ("echo s3cret-canary", "did not answer"),
     ('echo \'["s3cret-canary"]\'', "did not answer")],
)  # fmt: skip
async def test_a_failing_credential_helper_is_an_error(tmp_path: Path, script: str, what: str) -> None:
    environ = helper(tmp_path, "made", script)
    configure(tmp_path, credHelpers={"ghcr.io": "made"})
    with pytest.raises(CredentialsUnavailable, match=what) as raised:
        await from_docker(environ)("ghcr.io")
    assert raised.value.where == "docker-credential-made"
    assert CANARY not in raised.value.render()


async def test_a_credential_helper_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "HELPER_SECONDS", 0.2)
    environ = helper(tmp_path, "made", "exec sleep 60")
    configure(tmp_path, credsStore="made")
    with pytest.raises(CredentialsUnavailable, match=r"did not answer in 0\.2 seconds"):
        await from_docker(environ)("ghcr.io")


async def test_a_missing_credential_helper_is_an_error(tmp_path: Path) -> None:
    configure(tmp_path, credsStore="gone")
    with pytest.raises(CredentialsUnavailable, match="cannot be run"):
        await from_docker({"PATH": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)})("ghcr.io")


async def test_the_first_configuration_with_a_login_is_used(tmp_path: Path) -> None:
    keychain = from_docker({"DOCKER_CONFIG": str(tmp_path / "no")}, home=tmp_path)
    assert await keychain("ghcr.io") is None
    podman = tmp_path / ".config/containers/auth.json"
    podman.parent.mkdir(parents=True)
    podman.write_text(json.dumps({"auths": {"ghcr.io": {"auth": auth("pod:man")}}}))
    assert await keychain("ghcr.io") == Login("pod", "man")
    configure(tmp_path, auths={"quay.io": {"auth": auth("doc:ker")}})
    keychain = from_docker({"DOCKER_CONFIG": str(tmp_path)}, home=tmp_path)
    assert await keychain("ghcr.io") == Login("pod", "man"), "docker's file has no entry for this host"
    assert await keychain("quay.io") == Login("doc", "ker")
    assert await keychain("other.io") is None
    configure(tmp_path, auths={"ghcr.io": {"auth": auth("doc:ker")}})
    assert await keychain("ghcr.io") == Login("doc", "ker")


@pytest.mark.parametrize("damage", [Path.mkdir, lambda path: path.write_bytes(b"\xff")])
@pytest.mark.parametrize("name", [".docker/config.json", "named.json"])
async def test_an_unreadable_configuration_is_an_error(tmp_path: Path, name: str, damage) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    damage(tmp_path / name)
    keychain = from_docker({"REGISTRY_AUTH_FILE": str(tmp_path / "named.json")}, home=tmp_path)
    with pytest.raises(CredentialsUnavailable, match="cannot be read") as raised:
        await keychain("ghcr.io")
    assert raised.value.where == str(tmp_path / name)


async def test_an_inaccessible_path_is_an_error_only_if_named(tmp_path: Path) -> None:
    """Root can read every directory, so a name that is too long stands in for another user's directory."""
    hidden = tmp_path / ("x" * 300)
    assert await from_docker({}, home=hidden)("ghcr.io") is None
    for variable in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE"):
        with pytest.raises(CredentialsUnavailable):
            await from_docker({variable: str(hidden)}, home=tmp_path)("ghcr.io")


def test_docker_hub_aliases_share_a_login() -> None:
    one, two = (RegistryLogin(host, "me", Secret()) for host in ("index.docker.io", "ghcr.io"))  # type: ignore[arg-type]
    assert by_host([one, two]) == {"docker.io": ("me", one.password), "ghcr.io": ("me", two.password)}
