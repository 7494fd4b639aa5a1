"""Making one stand-in image.

No foreign program runs: mmdebstrap's chrootless mode lets this machine's dpkg unpack and configure a
tree for any architecture, in a mount namespace where nothing but that tree can be written. What goes on
top (Rust, Python) is for this machine's own platform and is installed in an overlay mount, whose upper
directory becomes the second layer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine import apt, oci
from engine.log import Log
from engine.recipes import PATH, ROOTFS, Job, host
from pipeline.errors import BaseImageUnavailable, PrerequisitesMissing
from pipeline.targets import Target

PACKAGES = ("mmdebstrap", "pigz", "debian-archive-keyring", "util-linux", "mount", "ca-certificates")


def check_programs() -> None:
    """Raise PrerequisitesMissing if a program or the rights are missing."""
    programs = ("mmdebstrap", "pigz", "unshare", "mount", "tar", "apt-config")
    missing = [program for program in programs if not shutil.which(program)]
    if missing or os.geteuid():
        raise PrerequisitesMissing(
            f"stand-in images cannot be made without {', '.join(missing) or 'root'}",
            where="this machine",
            fix=f"As root: apt-get install {' '.join(PACKAGES)}" if missing else "Run as root.",
        )


@dataclass(frozen=True)
class Maker:
    """What is common to the images made in one run."""

    store: Path
    releases: list[apt.Release]
    log: Log

    @property
    def epoch(self) -> int:
        """The newest release. No file of a package is newer, so clamping times to it changes none of them:
        compiled Python files name their source's time.
        """
        return max(release.time for release in self.releases)

    def can_make(self, job: Job) -> bool:
        """Whether the mirror has what the image is made of; an image that can be done without is left out."""
        (suite,) = (release for release in self.releases if release.source.suite == job.base.suite)
        if job.target == host() or suite.complete(job.target.debian):
            return True
        self.log(
            f"WARNING: {job} is not made: this machine's mirror has no list of {job.target.debian} packages "
            f"that fits the signature of {job.base.suite}. Images for {job.target.platform} can start from "
            "scratch (--libc musl) or from another base until it has"
        )
        return False

    def sources(self, target: Target) -> list[apt.Source]:
        """The suites to install from: all but those in which the mirror contradicts their signature."""
        broken = [r for r in self.releases if "-" in r.source.suite and not r.complete(target.debian)]
        for release in broken:
            self.log(
                f"WARNING: {target.platform} is made without {release.source.suite}: this machine's "
                f"mirror has no list of {target.debian} packages that fits the suite's signature"
            )
        return [release.source for release in self.releases if release not in broken]

    def make(self, job: Job, lower: Path | None = None) -> None:
        """Make one image in a temporary directory and move it to its place."""
        started = time.monotonic()
        self.log(f"{job}: making it from Debian packages")
        with self._temporary() as work:
            image = work / "image"
            image.mkdir()
            layer = work / "layer"
            if lower and job.parent:
                diff_id = self._on_top(job, lower, work, layer)
            else:
                diff_id = self._system(job, work, layer)
            parent = job.parent.image if job.parent else None
            oci.write_image(image, self._config(job), layer, diff_id, parent)
            image.rename(job.directory)
        self.log(f"{job}: made in {time.monotonic() - started:.0f} s")

    @contextmanager
    def lower(self, job: Job) -> Iterator[Path]:
        """The unpacked file tree of a base image, for overlay mounts."""
        with self._temporary() as work:
            for descriptor in job.image.layers:
                archive = str(job.image.blob(descriptor))
                subprocess.run(["tar", "-xzf", archive, "-C", str(work)], check=True)
            yield work

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="making-", dir=self.store) as name:
            path = Path(name)
            # It becomes the root directory of a tree that other users read.
            path.chmod(0o755)
            yield path

    def _config(self, job: Job) -> dict[str, object]:
        architecture, _, variant = job.target.platform.partition("/")[2].partition("/")
        # Docker's official images say v8 for arm64; everybody reads it as the default.
        variant = variant or {"arm64": "v8"}.get(architecture, "")
        config: dict[str, object] = {
            "created": datetime.fromtimestamp(self.epoch, UTC).isoformat().replace("+00:00", "Z"),
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": [f"{name}={value}" for name, value in job.base.env.items()],
                "Cmd": list(job.base.cmd),
            },
        }
        return config | ({"variant": variant} if variant else {})

    def _system(self, job: Job, work: Path, layer: Path) -> str:
        """A whole Debian system, by mmdebstrap."""
        tree = work / "tmp"
        # The checkout may lie where the script cannot see it.
        shutil.copytree(ROOTFS / job.base.recipe, tree / "recipe")
        # dpkg reads it from its home: a slim tree from the start, and no waiting for the disk.
        shutil.copy(tree / "recipe" / "dpkg.cfg", tree / ".dpkg.cfg")
        command = [
            "mmdebstrap",
            "--mode=chrootless",
            "--variant=minbase",
            "--format=directory",
            f"--architectures={job.target.debian}",
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            *[f"--aptopt={line}" for line in apt.options()],
            '--customize-hook=sh /tmp/recipe/setup "$1"',
            job.base.suite,
            "/tmp/system",
            "-",
        ]
        env = {
            "HOME": "/tmp",
            "APT_OPTIONS": "\n".join(apt.options()),
            "SOURCES": "\n".join(release.source.render() for release in self.releases),
        }
        text = "\n".join(source.render() for source in self.sources(job.target))
        self._run(job, _ONLY_WRITABLE, [str(tree), *command], env, text)
        return oci.write_layer(tree / "system", layer, self.epoch)

    def _on_top(self, job: Job, lower: Path, work: Path, layer: Path) -> str:
        """One more layer, by the recipe's setup script in an overlay mount."""
        for name in ("upper", "work", "root"):
            (work / name).mkdir()
        arguments = [str(lower), str(work), str(ROOTFS / job.base.recipe)]
        env = {**job.base.env, "PACKAGES": " ".join(job.base.packages)}
        self._run(job, _OVERLAY, arguments, env)
        return oci.write_layer(work / "upper", layer, self.epoch, lower)

    def _run(
        self, job: Job, script: str, arguments: list[str], env: Mapping[str, str], text: str = ""
    ) -> None:
        """Run a script in namespaces that end with it."""
        # The kernel ends unshare when this program dies, and unshare everything in its namespaces.
        namespaces = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork"]
        command = [*namespaces, "--kill-child", "--mount-proc", "sh", "-euc", script, "sh", *arguments]
        base = {"PATH": PATH, "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(self.epoch)}
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        log = self.store / f"{job.name}.log"
        environment = {**base, **proxies, **env}
        with log.open("wb") as output:
            child = subprocess.run(
                command, input=text.encode(), stdout=output, stderr=output, env=environment, check=False
            )
        if child.returncode:
            raise BaseImageUnavailable(
                f"the stand-in {job} cannot be made",
                where=str(log),
                fix="Read the output above; apt-get update on this machine shows whether the mirror works.",
                output=log.read_text(errors="replace"),
            )


# Maintainer scripts run outside the tree here, so nothing else may be writable: $1 becomes /tmp, and every
# other directory of the machine read-only in this namespace.
_ONLY_WRITABLE = """
mount --bind "$1" /tmp
shift
for directory in / /boot /etc /home /opt /root /run /srv /usr /var; do
    if mountpoint -q "$directory"; then mount -o remount,bind,ro "$directory"; fi
done
cd /
"$@"
# Written last of all by apt, and never the same twice.
rm -f /tmp/system/var/cache/apt/*.bin
"""

# $1 the lower tree, $2 the directory with upper, work and root, $3 the recipe's files.
_OVERLAY = """
root=$2/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
mount -t tmpfs tmpfs "$root/tmp"
# An https mirror has to be trusted before the tree has certificates of its own.
cp /etc/ssl/certs/ca-certificates.crt "$root/tmp/"
echo 'Acquire::https::CaInfo "/tmp/ca-certificates.crt";' >"$root/tmp/apt.conf"
export APT_CONFIG=/tmp/apt.conf
mount --bind "$3" "$root/mnt"
exec chroot "$root" sh /mnt/setup
"""
