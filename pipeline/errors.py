"""Define all errors that a user can get, each with its exit code.

An error says what is wrong, where, and what to do next. Exit codes are stable across releases and listed in
docs/troubleshooting.md. Each family has a range of codes:

    1x platforms   2x the Cargo project   3x compiling   4x checking what was built
    5x publishing  6x the engine   7x git and attestations   8x the files of `resolve`
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, Self

from pipeline.printable import printable
from pipeline.sdk import dagger


def _base() -> type[Exception]:
    """Return the class that Dagger reports with an exit code; a plain error where the SDK is not loaded.

    A function of the module runs in the SDK, so it is loaded there before this package. Commands that need no
    engine do not load it.
    """
    if "dagger.mod" not in sys.modules:
        return Exception
    try:  # reported without a stack trace
        from dagger.mod._exceptions import FunctionError
    except ImportError:  # pragma: no cover - in SDKs without it, the report has a stack trace
        return dagger.QueryError
    return type("_Reported", (FunctionError, dagger.QueryError), {})


if TYPE_CHECKING:
    _Base = Exception
else:
    _Base = _base()


class RustMultiarchError(_Base):
    """An error with a cause, a place and a next step.

    If a module function raises it, the caller gets an exec error, the only kind for which `dagger call` uses
    the error's exit code and prints the captured output completely.

    Args:
        what: one sentence saying what is wrong.
        where: the file, platform, image or command with the problem.
        fix: the next step, as an instruction.
        output: the complete output of the failed command; may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __new__(cls, *_: object, **__: object) -> Self:
        """Create a plain exception; `QueryError` would choose a class by a server's response."""
        return Exception.__new__(cls)

    def __init__(self, what: str, *, where: str = "", fix: str = "", output: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        self.output = output.strip()
        self.extra = None
        Exception.__init__(self, self.message())
        extensions = {
            "_type": "EXEC_ERROR",
            "cmd": [],
            "exitCode": self.exit_code,
            "stdout": "",
            "stderr": self.output,
            "error": type(self).__name__,
        }
        self.errors = [SimpleNamespace(message=self.message(), extensions=extensions)]

    def message(self) -> str:
        """Format the message: what, where and next, a line each."""
        lines = [f"{type(self).__name__}: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  next:  {self.fix}")
        return "\n".join(lines)

    def render(self) -> str:
        """Return the failed command's complete output, then the message, safe for terminals."""
        return printable("\n".join(filter(None, (self.output, self.message()))))

    def __str__(self) -> str:
        return self.message()


def first(error: BaseException) -> BaseException:
    """Return the first error in a task group's nested exception groups; return other errors unchanged."""
    return first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class NoSpaceLeft(RustMultiarchError):
    """A disk is full, or a quota is used up."""

    exit_code = 3


class FileInaccessible(RustMultiarchError):
    """A file or directory cannot be read or written."""

    exit_code = 4


class InternalError(RustMultiarchError):
    """An unexpected error: a bug, or a situation that has no message yet; the details are in a file."""

    exit_code = 5


class NotReady(RustMultiarchError):
    """`doctor` found a problem that makes builds fail."""

    exit_code = 6


class InvalidSetting(RustMultiarchError):
    """A setting in Cargo.toml or the environment does not exist, or its value has the wrong type."""

    exit_code = 7


class WouldOverwrite(RustMultiarchError):
    """A file exists already and would be overwritten."""

    exit_code = 8


class UsageError(RustMultiarchError):
    """The command line has an unknown option or command, or lacks a value."""

    exit_code = 2


class InvalidArgument(RustMultiarchError):
    """An option's value is invalid."""

    exit_code = 9


class PlatformError(RustMultiarchError):
    """A platform is not supported."""


class UnsupportedPlatform(PlatformError):
    """A valid platform is not in the target table."""

    exit_code = 10


class MalformedPlatform(PlatformError):
    """A platform is not written as `os/arch` or `os/arch/variant`."""

    exit_code = 11


class NoPlatforms(PlatformError):
    """The list of platforms is empty."""

    exit_code = 12


class DuplicatePlatform(PlatformError):
    """A platform is listed twice."""

    exit_code = 13


class UnsupportedLibc(PlatformError):
    """The C library, or its version, is not supported for a platform."""

    exit_code = 14


class ProjectError(RustMultiarchError):
    """The project cannot be built with these options."""


class NotACargoProject(ProjectError):
    """Neither the project's directory nor a parent of it has a Cargo.toml."""

    exit_code = 20


class LockMissing(ProjectError):
    """The project has no Cargo.lock, so builds would not be repeatable."""

    exit_code = 21


class LockOutOfDate(ProjectError):
    """Cargo.lock does not match the manifests, and `--locked` forbids updating it."""

    exit_code = 22


class BinaryNotChosen(ProjectError):
    """The project has several binaries and none is chosen."""

    exit_code = 23


class UnknownBinary(ProjectError):
    """No package of the workspace has a binary with this name."""

    exit_code = 24


class UnknownPackage(ProjectError):
    """The workspace has no package with this name."""

    exit_code = 25


class UnknownFeature(ProjectError):
    """No selected package has this feature."""

    exit_code = 26


class NoBinary(ProjectError):
    """There is no binary to build: only libraries, or binaries whose required features are not enabled."""

    exit_code = 27


class MissingCredentials(ProjectError):
    """A private dependency cannot be fetched without credentials."""

    exit_code = 28


class InvalidManifest(ProjectError):
    """cargo cannot read a Cargo.toml or Cargo.lock."""

    exit_code = 29


class CompileError(RustMultiarchError):
    """cargo failed."""

    exit_code = 30


class LinkError(CompileError):
    """The linker cannot find a native library for the target."""

    exit_code = 31


class BuildScriptRanTarget(CompileError):
    """A build script executed a binary of the target platform on the build platform."""

    exit_code = 32


class ChecksFailed(RustMultiarchError):
    """The project's tests, clippy or the format check failed."""

    exit_code = 33


class CannotCrossCompile(CompileError):
    """A native dependency cannot be cross-compiled for a platform; checked before compiling."""

    exit_code = 34


class PackageUnavailable(RustMultiarchError):
    """A Debian package is not available for a platform."""

    exit_code = 35


class RustTooOld(CompileError):
    """A package declares that it needs a newer Rust than the builder's; found before any compile."""

    exit_code = 36


class NotUploaded(CompileError):
    """The build read files that were not uploaded, or the engine has other content of a file."""

    exit_code = 37


class FetchFailed(RustMultiarchError):
    """The dependencies cannot be downloaded."""

    exit_code = 38


class ReadsUnknown(NotUploaded):
    """A part of the repository was uploaded, and the engine does not record which files a build reads."""


class VerificationError(RustMultiarchError):
    """A binary does not match its platform or the runtime image."""

    exit_code = 40


class NotReproducible(VerificationError):
    """Two builds of the same sources differ."""

    exit_code = 42


class UnsafeOutput(VerificationError):
    """The output of a build is not the regular files that it has to be."""

    exit_code = 43


class SmokeFailed(VerificationError):
    """The image of a platform failed its smoke test."""

    exit_code = 41


class PublishError(RustMultiarchError):
    """The image was built but cannot be published; no tag was moved."""

    exit_code = 50


class NotRebasable(PublishError):
    """An image cannot be put on another base: its own layers are unknown, or the base lacks a platform."""

    exit_code = 49


class InvalidAddress(PublishError):
    """An image address is invalid."""

    exit_code = 51


class RegistryUnreachable(PublishError):
    """The registry does not respond."""

    exit_code = 52


class RegistryDenied(PublishError):
    """The registry refused access (401 or 403)."""

    exit_code = 53


class TagExists(PublishError):
    """A tag already points to another image and must not be moved (`--no-clobber`)."""

    exit_code = 54


class RegistryFailed(PublishError):
    """The registry failed in every retry (5xx, 429, dropped connections)."""

    exit_code = 55


class TagRefused(PublishError):
    """The registry accepted the image and refused its tag."""

    exit_code = 56


class NotMergeable(PublishError):
    """An image cannot be merged into an index: it is missing, or its platform is unknown."""

    exit_code = 57


class CredentialsUnavailable(PublishError):
    """The docker configuration is unreadable, or a credential helper failed."""

    exit_code = 58


class Untrusted(PublishError):
    """An untrusted build, such as that of a fork's pull request, would publish or write what others read."""

    exit_code = 59


class EngineError(RustMultiarchError):
    """The Dagger engine cannot be used."""

    exit_code = 60


class PrerequisitesMissing(EngineError):
    """Root, Go or packages are missing on this machine; the message lists all of them."""

    exit_code = 61


class EngineBuildFailed(EngineError):
    """The embedded engine cannot be compiled."""

    exit_code = 62


class EngineStartFailed(EngineError):
    """The embedded engine cannot be started."""

    exit_code = 63


class EngineUnreachable(EngineError):
    """A session with the engine cannot be opened."""

    exit_code = 67


class BaseImageUnavailable(EngineError):
    """A base image cannot be pulled for a platform, and no stand-in can be made."""

    exit_code = 64


class UnusableContainer(EngineError):
    """A custom builder, runtime or platform container does not meet its requirements."""

    exit_code = 65


class NotAGitRepository(RustMultiarchError):
    """There is no git repository with a commit for tags and labels."""

    exit_code = 70


class ShallowClone(RustMultiarchError):
    """The clone lacks tags, so the newest release is unknown."""

    exit_code = 71


class DirtyTree(RustMultiarchError):
    """The working tree has changes, and `--require-clean` is set or a release is built."""

    exit_code = 72


class UnknownUnitGraph(RustMultiarchError):
    """cargo's unit graph has an unknown format, so no SBOM can be made."""

    exit_code = 73


class UnusableKey(RustMultiarchError):
    """The signing key is not a private key, is damaged, or is of an unsupported kind."""

    exit_code = 74


class WrongKeyPassword(RustMultiarchError):
    """The signing key cannot be decrypted with the password."""

    exit_code = 75


class KeylessUnavailable(RustMultiarchError):
    """Keyless signing is requested, and the Python package that it needs is not installed."""

    exit_code = 76


class NoIdentityToken(RustMultiarchError):
    """There is no identity token for keyless signing, or it cannot be used."""

    exit_code = 77


class SigstoreRefused(RustMultiarchError):
    """A service of keyless signing refused the identity token or a signature; nothing was published."""

    exit_code = 78


class SigstoreUnreachable(RustMultiarchError):
    """A service of keyless signing does not respond, or fails; nothing was published."""

    exit_code = 79


class MalformedYaml(RustMultiarchError):
    """A file with image references cannot be read as YAML."""

    exit_code = 80


class NoReference(RustMultiarchError):
    """The files have no image reference `rust-multiarch://NAME`."""

    exit_code = 81


def printed(error: dagger.ExecError) -> str:
    """Return the complete output of a failed command."""
    return "\n".join(filter(None, (error.stdout, error.stderr)))
