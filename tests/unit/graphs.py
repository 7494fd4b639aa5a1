"""Make cargo's output for a small build by hand: two binaries, two triples, every kind of unit."""

import json

from pipeline.project.unit_graph import CRATES_IO, Graph, read

AMD64, ARM64 = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
GIT = "git+https://token@git.example/me/fork.git?branch=x#0123456789abcdef0123456789abcdef01234567"
PRIVATE = "sparse+https://me:canary@crates.example/index/"

# name: version, source, license
PACKAGES = {
    "app": ("0.1.0", None, None),
    "serde": ("1.0.0", CRATES_IO, "MIT/Apache-2.0"),
    "derive": ("1.0.0", CRATES_IO, "MIT OR Apache-2.0"),
    "syn": ("2.0.0", CRATES_IO, "MIT"),
    "shared": ("0.3.0", CRATES_IO, "MIT"),
    "cc": ("1.1.0", CRATES_IO, "MIT"),
    "fork": ("0.2.0", GIT, None),
    "inner": ("4.0.0+meta", PRIVATE, "Proprietary"),
    "windows": ("9.0.0", CRATES_IO, "MIT"),
}
HASHES = {name: f"{number:064x}" for number, name in enumerate(PACKAGES)}


def identifier(name: str) -> str:
    version, source, _ = PACKAGES[name]
    return f"{source or f'path+file:///canary/{name}'}#{name}@{version}"


def metadata() -> str:
    packages = [
        {"id": identifier(name), "name": name, "version": version, "source": source, "license": license}
        for name, (version, source, license) in PACKAGES.items()
    ]
    return json.dumps({"packages": packages})


def lock() -> str:
    lines = ["version = 4"]
    for name, (version, source, _) in PACKAGES.items():
        lines += ["[[package]]", f'name = "{name}"', f'version = "{version}"']
        lines += [f'source = "{source}"'] if source else []
        lines += [f'checksum = "{HASHES[name]}"'] if source and not source.startswith("git") else []
    return "\n".join(lines)


def units(version: int = 1) -> str:
    """Return a unit graph with both binaries for both triples; only `extra` uses the private crate."""
    made: list[dict[str, object]] = []

    def unit(
        name: str,
        kind: str,
        platform: str | None,
        *needs: int,
        mode: str = "build",
        target: str = "",
        features: tuple[str, ...] = (),
    ) -> int:
        made.append(
            {
                "pkg_id": identifier(name),
                "target": {"kind": [kind], "name": target or name},
                "platform": platform,
                "mode": mode,
                "features": list(features),
                "dependencies": [{"index": index} for index in needs],
            }
        )
        return len(made) - 1

    roots = []
    cc = unit("cc", "lib", None)
    host_shared = unit("shared", "lib", None, features=("host",))
    syn = unit("syn", "lib", None, host_shared)
    derive = unit("derive", "proc-macro", None, syn)
    script = unit("app", "custom-build", None, cc, target="build-script-build")
    for triple in (AMD64, ARM64):
        ran = unit(
            "app", "custom-build", triple, script, mode="run-custom-build", target="build-script-build"
        )
        shared = unit("shared", "lib", triple, features=("std", "alloc"))
        serde = unit("serde", "lib", triple, derive, shared)
        fork = unit("fork", "lib", triple)
        inner = unit("inner", "lib", triple)
        library = unit("app", "lib", triple, serde, fork, ran)
        roots.append(unit("app", "bin", triple, library, serde, ran, target="app"))
        roots.append(unit("app", "bin", triple, library, inner, ran, target="extra"))
    return json.dumps({"version": version, "units": made, "roots": roots})


def graphs() -> tuple[Graph, ...]:
    """Return the graphs of app and extra for amd64, then for arm64."""
    return read([units()], metadata(), lock())
