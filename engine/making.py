"""Make a stand-in for an official image from Debian packages.

No program of another architecture is run: in mmdebstrap's chrootless mode, this machine's dpkg unpacks and
configures a tree for any architecture, in a mount namespace where only the tree can be written. Rust and
Python are for this machine's platform only, and are installed in an overlay mount, whose upper directory
becomes the second layer.
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
    """Check that the programs are installed and that this user is root.

    Raises:
        PrerequisitesMissing: a program is missing, or the user is not root.
    """
    programs = ("mmdebstrap", "pigz", "unshare", "mount", "tar", "apt-config")
    missing = [program for program in programs if not shutil.which(program)]
    if missing or os.geteuid():
        raise PrerequisitesMissing(
            f"stand-in images cannot be made without {', '.join(missing) or 'root'}",
            where="this machine",
            fix=f"run as root: apt-get install {' '.join(PACKAGES)}" if missing else "run as root",
        )


@dataclass(frozen=True)
class Maker:
    """Make images in a store from the same Debian releases.

    Attributes:
        store: the directory of the images.
        releases: the suites to install from.
        log: prints progress and warnings.
    """

    store: Path
    releases: list[apt.Release]
    log: Log

    @property
    def epoch(self) -> int:
        """Return the time of the newest release, in seconds since 1970, which is the limit of file times.

        No file of a package is newer, so the limit changes none: compiled Python files contain the time of
        their source.
        """
        return max(release.time for release in self.releases)

    def can_make(self, job: Job) -> bool:
        """Return True if the mirror has the packages of the image; if not, print a warning.

        An image of this machine's platform is always tried.
        """
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
        """Return the suites to install from, without those whose list of packages has a wrong signature."""
        broken = [r for r in self.releases if "-" in r.source.suite and not r.complete(target.debian)]
        for release in broken:
            self.log(
                f"WARNING: {target.platform} is made without {release.source.suite}: this machine's "
                f"mirror has no list of {target.debian} packages that fits the suite's signature"
            )
        return [release.source for release in self.releases if release not in broken]

    def make(self, job: Job, lower: Path | None = None) -> None:
        """Make an image in a temporary directory, and move it to its place.

        Args:
            job: the image.
            lower: the unpacked files of its parent; None without a parent.

        Raises:
            BaseImageUnavailable: the image cannot be made.
        """
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
        """Unpack the files of an image, for overlay mounts."""
        with self._temporary() as work:
            for descriptor in job.image.layers:
                archive = str(job.image.blob(descriptor))
                subprocess.run(["tar", "-xzf", archive, "-C", str(work)], check=True)
            yield work

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="making-", dir=self.store) as name:
            path = Path(name)
            # Other users read the tree whose root directory it becomes.
            path.chmod(0o755)
            yield path

    def _config(self, job: Job) -> dict[str, object]:
        architecture, _, variant = job.target.platform.partition("/")[2].partition("/")
        # Docker's official images have the variant v8 for arm64, which is the default.
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
        """Make the layer of a Debian system with mmdebstrap; return its diff id."""
        tree = work / "tmp"
        # The script may not see the directory of the checkout.
        shutil.copytree(ROOTFS / job.base.recipe, tree / "recipe")
        # dpkg reads it from its home: it leaves out documentation, and does not wait for the disk.
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
        """Make a second layer by the recipe's setup script in an overlay mount; return its diff id."""
        for name in ("upper", "work", "root"):
            (work / name).mkdir()
        arguments = [str(lower), str(work), str(ROOTFS / job.base.recipe)]
        env = {**job.base.env, "PACKAGES": " ".join(job.base.packages)}
        self._run(job, _OVERLAY, arguments, env)
        return oci.write_layer(work / "upper", layer, self.epoch, lower)

    def _run(
        self, job: Job, script: str, arguments: list[str], env: Mapping[str, str], text: str = ""
    ) -> None:
        """Run a script in namespaces of its process; everything in them ends with it.

        Raises:
            BaseImageUnavailable: the script failed.
        """
        # If this process is killed, the kernel ends unshare, and so all processes in its namespaces.
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
                fix="see the output above; `apt-get update` on this machine shows whether the mirror works",
                output=log.read_text(errors="replace"),
            )


# Maintainer scripts run outside the tree here. So $1 is mounted at /tmp, and all other directories are
# read-only in this namespace.
_ONLY_WRITABLE = """
mount --bind "$1" /tmp
shift
for directory in / /boot /etc /home /opt /root /run /srv /usr /var; do
    if mountpoint -q "$directory"; then mount -o remount,bind,ro "$directory"; fi
done
cd /
"$@"
# apt writes these last, with other bytes each time.
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
# apt needs certificates for an https mirror before those of the tree are installed.
cp /etc/ssl/certs/ca-certificates.crt "$root/tmp/"
echo 'Acquire::https::CaInfo "/tmp/ca-certificates.crt";' >"$root/tmp/apt.conf"
export APT_CONFIG=/tmp/apt.conf
mount --bind "$3" "$root/mnt"
exec chroot "$root" sh /mnt/setup
"""
