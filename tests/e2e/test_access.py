"""Test private dependencies on a real git host, ssh server and cargo registry."""

import gzip
import hashlib
import io
import json
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import crates
import dagger
import pytest
from dagger import dag

from pipeline import RustMultiarch, errors
from pipeline.releases import PYTHON
from pipeline.toolchain import builder as toolchain

pytestmark = pytest.mark.anyio

LIBRARY = 'pub fn answer() -> &\'static str { "from the private %s" }\n'
# Another name in each run: cargo needs no token for an index it has seen before.
INDEX = f"index-{secrets.token_hex(4)}"
SSH = "mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -p 22"


def project(dependency: str, locked: str, extra: dict[str, str] | None = None) -> dagger.Directory:
    """Return a program that prints a text of its private dependency."""
    manifest = crates.MANIFEST.format(name="asker") + f"[dependencies]\nsecret = {dependency}\n"
    lock = crates.LOCK.format(name="asker") + f'dependencies = ["secret"]\n\n[[package]]\n{locked}'
    main = 'fn main() { println!("{}", secret::answer()); }\n'
    files = {"Cargo.toml": manifest, "Cargo.lock": lock, "src/main.rs": main}
    return crates.directory(files | (extra or {}))


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bare git repository and a cargo registry, each with a crate called `secret`."""
    top = tmp_path_factory.mktemp("private")
    work = top / "work"
    (work / "src").mkdir(parents=True)
    (work / "Cargo.toml").write_text(crates.MANIFEST.format(name="secret"))
    (work / "src/lib.rs").write_text(LIBRARY % "repository")
    author = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "secret"]):
        subprocess.run(["git", *command], cwd=work, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, top / "host/git/secret.git"], check=True)
    _registry(top / "host")
    return top


def _registry(host: Path) -> None:
    out = io.BytesIO()
    texts = {"Cargo.toml": crates.MANIFEST.format(name="secret"), "src/lib.rs": LIBRARY % "registry"}
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in texts.items():
            info = tarfile.TarInfo(f"secret-0.1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    # Without times: cargo remembers the checksum of a crate it has seen.
    crate = gzip.compress(out.getvalue(), mtime=0)
    for folder in ("crates", f"{INDEX}/se/cr"):
        (host / folder).mkdir(parents=True)
    (host / "crates/secret.crate").write_bytes(crate)
    checksum = hashlib.sha256(crate).hexdigest()
    entry = {
        "name": "secret",
        "vers": "0.1.0",
        "deps": [],
        "cksum": checksum,
        "features": {},
        "yanked": False,
    }
    (host / INDEX / "se/cr/secret").write_text(json.dumps(entry) + "\n")
    config = {"dl": "http://private/crates/{crate}.crate", "auth-required": True}
    (host / INDEX / "config.json").write_text(json.dumps(config))
    (host / "checksum").write_text(checksum)


@pytest.fixture
async def host(session, things: Path) -> dagger.Service:
    """Run the host for the session as `private`."""
    server = toolchain.with_packages(dag.container().from_(PYTHON), ["git", "openssh-server"])
    script = (Path(__file__).parent / "private_host.py").read_text()
    service = (
        server.with_directory("/srv", dag.host().directory(str(things / "host")))
        .with_new_file("/host.py", script)
        .with_env_variable("USERNAME", "me")
        .with_env_variable("PASSWORD", "pass-canary")
        .with_env_variable("TOKEN", "token-canary")
        .with_exposed_port(80)
        .as_service(args=["python3", "/host.py", "/srv"])
        .with_hostname("private")
    )
    return await service.start()


def revision(things: Path) -> str:
    bare = things / "host/git/secret.git"
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=bare, check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def says(module: RustMultiarch) -> str:
    (variant,) = (await module.build()).variants
    return await variant.container.with_exec([], use_entrypoint=True).stdout()


async def fetches(module: RustMultiarch) -> None:
    """Check that the credentials work, and that the build succeeds if cargo's git library works here."""
    try:
        assert await says(module) == "from the private repository\n"
    except errors.CompileError as error:
        # The stand-in's cargo is Debian's, linked with an incompatible libgit2: it cannot check out git
        # dependencies. It fails only after git itself has fetched everything.
        if "on git_proxy_options" not in error.output:
            raise


def git_project(things: Path, url: str) -> dagger.Directory:
    locked = f'name = "secret"\nversion = "0.1.0"\nsource = "git+{url}#{revision(things)}"\n'
    return project(f'{{ git = "{url}" }}', locked)


async def test_a_git_dependency_with_a_token(host, things: Path) -> None:
    source = git_project(things, "http://private/git/secret.git")
    module = RustMultiarch(source=source, platforms=["linux/amd64"])
    for host_name, user in (("http://private", "you"), ("private", "me")):
        with pytest.raises(errors.MissingCredentials):
            await module.with_git_token(host_name, dag.set_secret("git", "pass-canary"), user).build()
    opened = module.with_git_token("http://private", dag.set_secret("git", "pass-canary"), "me")
    await fetches(opened)


async def test_a_registry_with_a_token(host, things: Path) -> None:
    checksum = (things / "host/checksum").read_text()
    index = f"sparse+http://private/{INDEX}/"
    source = project(
        '{ version = "0.1.0", registry = "my-corp" }',
        f'name = "secret"\nversion = "0.1.0"\nsource = "{index}"\nchecksum = "{checksum}"\n',
        {".cargo/config.toml": f'[registries.my-corp]\nindex = "{index}"\n'},
    )
    module = RustMultiarch(source=source, platforms=["linux/amd64"])
    with pytest.raises(errors.MissingCredentials):
        await module.build()
    token = dag.set_secret("corp", "token-canary")
    with pytest.raises(errors.InvalidArgument, match="its token is for"):
        await module.with_registry_token("my-corp", token, "sparse+http://other/index/").build()
    opened = module.with_registry_token("my-corp", token, index)
    assert await says(opened) == "from the private registry\n"
    shown = await (await opened.builder()).with_exec(["env"]).stdout()
    assert "canary" not in shown, "what compiles has no credentials"


async def test_a_registry_that_lies_in_the_project(things: Path, session) -> None:
    """Use cargo's `local-registry`: an index and the crates, for machines without a network."""
    host, index = things / "host", "registry+https://github.com/rust-lang/crates.io-index"
    locked = f'name = "secret"\nversion = "0.1.0"\nsource = "{index}"\n'
    locked += f'checksum = "{(host / "checksum").read_text()}"\n'
    configuration = '[source.crates-io]\nreplace-with = "here"\n[source.here]\nlocal-registry = "offline"\n'
    source = (
        project('"0.1.0"', locked, {".cargo/config.toml": configuration})
        .with_new_file("offline/index/se/cr/secret", (host / INDEX / "se/cr/secret").read_text())
        .with_file("offline/secret-0.1.0.crate", dag.host().file(str(host / "crates/secret.crate")))
    )
    assert (
        await says(RustMultiarch(source=source, platforms=["linux/amd64"])) == "from the private registry\n"
    )


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Run an ssh agent with one key; yield its socket and the public key."""
    key, socket = tmp_path / "key", tmp_path / "agent.sock"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    running = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        subprocess.run(
            ["sh", "-c", f"until [ -S {socket} ]; do :; done; exec ssh-add -q {key}"],
            env={"SSH_AUTH_SOCK": str(socket), "PATH": "/usr/bin:/bin"},
            check=True,
            timeout=20,
        )
        yield str(socket), key.with_suffix(".pub").read_text()
    finally:
        running.terminate()
        running.wait()


async def test_a_git_dependency_over_ssh(host, things: Path, agent: tuple[str, str], session) -> None:
    socket, public = agent
    server = toolchain.with_packages(dag.container().from_(PYTHON), ["git", "openssh-server"])
    host_key = "/etc/ssh/ssh_host_ed25519_key.pub"
    server = server.with_directory("/srv", dag.host().directory(str(things / "host")))
    server = server.with_new_file("/root/.ssh/authorized_keys", public, permissions=0o600)
    server = server.with_exec(["git", "config", "--global", "safe.directory", "*"])
    name = (await server.file(host_key).contents()).split()[:2]
    known = (
        dag.directory().with_new_file("known_hosts", f"private-ssh {' '.join(name)}\n").file("known_hosts")
    )
    await server.with_exposed_port(22).as_service(args=["sh", "-c", SSH]).with_hostname("private-ssh").start()
    source = git_project(things, "ssh://root@private-ssh/srv/git/secret.git")
    module = RustMultiarch(source=source, platforms=["linux/amd64"])
    with pytest.raises(errors.MissingCredentials):
        await module.with_ssh(dag.host().unix_socket(socket)).build()
    opened = module.with_ssh(dag.host().unix_socket(socket), known)
    await fetches(opened)
