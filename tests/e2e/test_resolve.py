"""Test `resolve`: the images of a manifest with three services are built, pushed, and start."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from pathlib import Path

import crates
import dagger
import gotools
import pytest
from conftest import PLATFORMS, ROOT
from repositories import git, repository
from ruamel.yaml import YAML
from test_cli import docker, run

from engine import registry
from pipeline import errors
from pipeline.oci.layout import parsed, platform_name
from pipeline.registry.dial import registries
from pipeline.registry.distribution import Repository

__all__ = ["docker"]

pytestmark = pytest.mark.anyio

SERVICE = """
use std::io::{{Read, Write}};

fn main() {{
    let listener = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
    for stream in listener.incoming() {{
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let text = format!("{name} on {{}}", std::env::consts::ARCH);
        let head = format!("HTTP/1.1 200 OK\\r\\ncontent-length: {{}}\\r\\nconnection: close", text.len());
        let _ = write!(stream, "{{head}}\\r\\n\\r\\n{{text}}");
    }}
}}
"""
PACKAGES = {"api": "src/main.rs", "web-package": "src/bin/web.rs", "jobs": "src/bin/worker.rs"}
DEPLOYMENT = """\
# Deployment of {reference}
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
        - name: {name}   # one container
          image: {reference}
          ports: [{{containerPort: 8080}}]
"""
REFERENCES = {
    "api": "rust-multiarch://api",
    "web": '"rust-multiarch://web-package"',
    "worker": "rust-multiarch://worker",
}
BINARIES = list(REFERENCES)


@pytest.fixture
def workspace(engine: object, tmp_path: Path) -> Path:
    """Make a workspace of three packages, each with a service, in a git repository at a tag."""
    # The engine has what an earlier run compiled.
    made, once = repository(tmp_path / "shop"), secrets.token_hex(8)
    entries = [crates.LOCK.format(name=name).removeprefix("version = 3\n") for name in sorted(PACKAGES)]
    (made / "Cargo.lock").write_text("version = 3\n" + "".join(entries))
    (made / "Cargo.toml").write_text(f'[workspace]\nresolver = "2"\nmembers = {json.dumps(list(PACKAGES))}\n')
    for package, path in PACKAGES.items():
        (made / package / path).parent.mkdir(parents=True)
        (made / package / "Cargo.toml").write_text(crates.MANIFEST.format(name=package))
        (made / package / path).write_text(f"{SERVICE.format(name=package)}// {once}\n")
    with (made / "jobs/Cargo.toml").open("a") as manifest:
        manifest.write('[package.metadata.rust-multiarch]\nenv = { FROM = "jobs" }\n')
    documents = [DEPLOYMENT.format(name=name, reference=text) for name, text in REFERENCES.items()]
    (made / "deploy.yaml").write_text("---\n".join(documents))
    git(made, "add", ".")
    git(made, "commit", "-qm", "services")
    git(made, "tag", "v1.2.3")
    return made


def images(text: str) -> dict[str, str]:
    documents = YAML(typ="safe", pure=True).load_all(text)
    containers = [one["spec"]["template"]["spec"]["containers"][0] for one in documents]
    return {one["name"]: one["image"] for one in containers}


async def platforms(address: str) -> list[str]:
    """Ask the registry for the platforms of an image."""
    name, _, digest = address.partition("@")
    host, _, path = name.partition("/")
    async with registries() as every:
        found = await Repository(await every.registry(host), path).manifest(digest)
    assert found is not None
    return [platform_name(entry["platform"]) for entry in parsed(found.body)["manifests"]]


async def test_a_manifest_with_three_services_starts(
    session: dagger.Client, loopback: str, workspace: Path
) -> None:
    before = (workspace / "deploy.yaml").read_text()
    # In the directory of a member: the references are to the whole workspace.
    done = run(
        "resolve", "--file", "../deploy.yaml", "--repository", f"{loopback}/shop", cwd=workspace / "api"
    )
    found = images(done.stdout)
    assert list(found) == BINARIES
    after = before
    for name, reference in REFERENCES.items():
        assert found[name].startswith(f"{loopback}/shop/{name}@sha256:")
        plain = reference.strip('"')
        after = after.replace(f"image: {reference}", f"image: {reference.replace(plain, found[name])}")
    assert done.stdout == after and "rust-multiarch://" in after, "comments stay"
    assert done.stderr.count("compiling 3 crates") == 1, "in one compile"
    for name, address in found.items():
        assert await platforms(address) == PLATFORMS
        service = session.container().from_(address).with_exposed_port(8080).as_service(use_entrypoint=True)
        endpoint = await service.endpoint(port=8080, scheme="http")
        answer = await session.http(endpoint, experimental_service_host=service).contents()
        assert answer == f"{dict(zip(BINARIES, PACKAGES, strict=True))[name]} on x86_64"
    assert await session.container().from_(found["worker"]).env_variable("FROM") == "jobs"
    assert await session.container().from_(found["api"]).env_variable("FROM") is None
    tagged = await session.container().from_(f"{loopback}/shop/api:1.2.3").image_ref()
    assert tagged.endswith(found["api"].partition("@")[2]), "tags as with publish"


@pytest.mark.documents
def test_the_manifests_of_the_page_are_of_kubernetes_types() -> None:
    """A strict decoder of the types accepts them, and nothing else."""
    page = (ROOT / "docs/clusters.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    manifests = [text for text in blocks if "apiVersion:" in text]
    services = [DEPLOYMENT.format(name=name, reference=text) for name, text in REFERENCES.items()]
    assert len(manifests) == 2
    stream = "---\n".join([*manifests, *services])
    assert checked(stream) == ""
    assert "replica" in checked(stream.replace("replicas:", "replica:"))
    assert "patch" in checked(stream.replace("patches:", "patchez:"))


def checked(stream: str) -> str:
    done = subprocess.run([gotools.own("kubernetes")], input=stream, capture_output=True, text=True)
    return done.stderr


def test_files_and_addresses_and_output(loopback: str, workspace: Path) -> None:
    (workspace / "k8s/below").mkdir(parents=True)
    (workspace / "k8s/a.yaml").write_text("image: rust-multiarch://api\n")
    (workspace / "k8s/below/b.json").write_text('{"image": "rust-multiarch://worker#digest"}')
    options = ("--platform", "linux/amd64", "--allow-dirty", "--tag", f"{loopback}/other/{{bin}}:7")
    to = ("--output", "resolved.yaml")
    done = run("resolve", "-f", "k8s", "-R", "-f", "-", *options, *to, "--json", cwd=workspace, stdin="x: 1")
    document = json.loads(done.stdout)
    assert [one["name"] for one in document["images"]] == ["api", "worker"]
    first, second = (one["reference"] for one in document["images"])
    digest = second.partition("@")[2]
    wanted = f'image: {first}\n---\n{{"image": "{digest}"}}\n---\nx: 1'
    assert document["resolved"] == wanted == (workspace / "resolved.yaml").read_text()
    receipt = document["images"][0]["published"]
    assert receipt["references"] == [first.replace("@", ":7@")]
    assert [one["platform"] for one in receipt["platforms"]] == ["linux/amd64"]
    by_digest = run(
        "resolve", "-f", "k8s", *options[:3], "-r", f"{loopback}/bare", "--by-digest", cwd=workspace
    )
    assert by_digest.stdout == f"image: {loopback}/bare/api@{first.partition('@')[2]}\n"


def test_references_to_two_workspaces(loopback: str, workspace: Path, tmp_path: Path) -> None:
    other = crates.written(tmp_path / "mail")
    text = "a: rust-multiarch://hello # mail\nb: rust-multiarch://api # shop\n"
    to = ("--platform", "linux/amd64", "--repository", f"{loopback}/two", "--file", "-")
    first = run("resolve", *to, "--partial", cwd=workspace, stdin=text)
    assert first.stdout.startswith("a: rust-multiarch://hello # mail\nb: ")
    done = run("resolve", other, *to, cwd=workspace, stdin=first.stdout)
    pattern = (
        rf"a: {loopback}/two/hello@sha256:\w{{64}} # mail\nb: {loopback}/two/api@sha256:\w{{64}} # shop\n"
    )
    assert re.fullmatch(pattern, done.stdout)
    assert "compiling 3 crates" not in done.stderr


def test_a_failed_push_writes_nothing(workspace: Path) -> None:
    (workspace / "resolved.yaml").write_text("before")
    port = registry.free_port()
    to = ("--tag", f"127.0.0.1:{port}/{{bin}}:1", "--platform", "linux/amd64", "--output", "resolved.yaml")
    done = run("resolve", "-f", "deploy.yaml", *to, cwd=workspace, code=errors.RegistryUnreachable.exit_code)
    assert done.stdout == "" and (workspace / "resolved.yaml").read_text() == "before"


def test_local_images_are_loaded_and_named_by_digest(workspace: Path, docker: Path) -> None:
    env = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    (workspace / "one.yaml").write_text("image: rust-multiarch://api\n")
    options = ("--platform", "linux/amd64", "--local")
    done = run("resolve", "-f", "one.yaml", *options, cwd=workspace, **env)
    name = done.stdout.removeprefix("image: ").strip()
    repository_, _, tag = name.partition(":")
    assert repository_ == "rust-multiarch.local/api" and len(tag) == 64
    listed = subprocess.run(
        [docker, "images", "--format", "{{.Repository}}:{{.Tag}}"], capture_output=True, text=True
    )
    assert name in listed.stdout
    done = run("resolve", "-f", "one.yaml", *options, "--repository", "ghcr.io/me", cwd=workspace, **env)
    assert done.stdout == f"image: ghcr.io/me/api:{tag}\n"
