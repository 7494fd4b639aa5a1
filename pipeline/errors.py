"""The one error tree: every failure a user can meet, its exit code and its next step.

An error says what is wrong, where, and what to do next. Exit codes are stable across releases and are
listed in docs/troubleshooting.md; the families are spaced so that a new member never moves an old one:

    1x platforms   2x the Cargo project   3x compiling   4x checking what was built
    5x publishing  6x the engine   7x git and attestations
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar, TypeVar

from dagger import ExecError, QueryError

from pipeline.printable import printable

try:  # a module function that raises this one is reported without our own stack
    from dagger.mod._exceptions import FunctionError as _Reported
except ImportError:  # pragma: no cover - an SDK that moved it still reports, only with the stack

    class _Reported(Exception):  # type: ignore[no-redef]
        """Stands in where the SDK has no such class."""


Self = TypeVar("Self", bound="RustMultiarchError")


class RustMultiarchError(_Reported, QueryError):
    """A failure with a cause, a place and a next step.

    Raised from a module function it reaches the caller as an exec error, the one kind for which
    `dagger call` exits with a code of the error's own and prints a captured output whole.

    Args:
        what: one sentence saying what is wrong.
        where: the file, platform, image or command it was found in.
        fix: the next thing to do, as an instruction.
        output: the whole output of the command that failed, when there is one.
    """

    exit_code: ClassVar[int] = 1

    def __new__(cls: type[Self], *_: object, **__: object) -> Self:
        """A plain exception: `QueryError` would pick a class by a server's answer, and there is none."""
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
        self.errors = [SimpleNamespace(message=self.message(), extensions=extensions)]  # type: ignore[list-item]

    def message(self) -> str:
        """What, where and next, a line each."""
        lines = [f"{type(self).__name__}: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  next:  {self.fix}")
        return "\n".join(lines)

    def render(self) -> str:
        """Return the failing command's own output, whole, then the message, as a terminal may show them."""
        return printable("\n".join(filter(None, (self.output, self.message()))))

    def __str__(self) -> str:
        return self.message()


def first(error: BaseException) -> BaseException:
    """The first error inside a task group's exception groups; any other error is itself."""
    return first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class NotReady(RustMultiarchError):
    """`doctor` found something that a build would fail for."""

    exit_code = 6


class InvalidSetting(RustMultiarchError):
    """A setting of Cargo.toml or of the environment that does not exist, or has no value of its type."""

    exit_code = 7


class WouldOverwrite(RustMultiarchError):
    """A file that exists and that would be overwritten."""

    exit_code = 8


class InvalidArgument(RustMultiarchError):
    """An option's value that does not have the form the option asks for."""

    exit_code = 9


class PlatformError(RustMultiarchError):
    """A platform that cannot be built for."""


class UnsupportedPlatform(PlatformError):
    """A well-formed platform that has no row in the target table."""

    exit_code = 10


class MalformedPlatform(PlatformError):
    """Text that is not `os/arch` or `os/arch/variant`."""

    exit_code = 11


class NoPlatforms(PlatformError):
    """An empty platform list."""

    exit_code = 12


class DuplicatePlatform(PlatformError):
    """The same platform asked for twice."""

    exit_code = 13


class UnsupportedLibc(PlatformError):
    """A C library, or a version of it, that a platform cannot be built with."""

    exit_code = 14


class ProjectError(RustMultiarchError):
    """The source is not something cargo can build as asked."""


class NotACargoProject(ProjectError):
    """Neither the directory of the project nor one above it has a Cargo.toml."""

    exit_code = 20


class LockMissing(ProjectError):
    """The source has no Cargo.lock, so a build would not be repeatable."""

    exit_code = 21


class LockOutOfDate(ProjectError):
    """Cargo.lock does not fit the manifests and `--locked` forbids changing it."""

    exit_code = 22


class BinaryNotChosen(ProjectError):
    """Several binaries and none chosen."""

    exit_code = 23


class UnknownBinary(ProjectError):
    """A binary name that no package of the workspace has."""

    exit_code = 24


class UnknownPackage(ProjectError):
    """A package name that the workspace does not have."""

    exit_code = 25


class UnknownFeature(ProjectError):
    """A cargo feature that no selected package has."""

    exit_code = 26


class NoBinary(ProjectError):
    """Nothing to put in an image: only libraries, or binaries that need features which are not chosen."""

    exit_code = 27


class MissingCredentials(ProjectError):
    """A private dependency that could not be fetched without credentials."""

    exit_code = 28


class InvalidManifest(ProjectError):
    """A Cargo.toml or Cargo.lock that cargo itself refuses."""

    exit_code = 29


class CompileError(RustMultiarchError):
    """cargo ran and failed."""

    exit_code = 30


class LinkError(CompileError):
    """The linker did not find a native library for the target."""

    exit_code = 31


class BuildScriptRanTarget(CompileError):
    """A build script executed a binary of the target platform on the build platform."""

    exit_code = 32


class ChecksFailed(RustMultiarchError):
    """The project's own tests, clippy or formatting fail."""

    exit_code = 33


class CannotCrossCompile(CompileError):
    """A native dependency that cannot be built for a platform as it is; found before any compile."""

    exit_code = 34


class PackageUnavailable(RustMultiarchError):
    """A Debian package that cannot be had for a platform."""

    exit_code = 35


class RustTooOld(CompileError):
    """A package declares that it needs a newer Rust than the builder's; found before any compile."""

    exit_code = 36


class VerificationError(RustMultiarchError):
    """What was built does not fit the platform or the image it would ship in."""

    exit_code = 40


class NotReproducible(VerificationError):
    """Two builds of the same sources differ."""

    exit_code = 42


class UnsafeOutput(VerificationError):
    """The output of a build is not the regular files that it has to be."""

    exit_code = 43


class SmokeFailed(VerificationError):
    """A variant was started and did not do what was expected of it."""

    exit_code = 41


class PublishError(RustMultiarchError):
    """The image was built and could not be published; no tag was moved."""

    exit_code = 50


class InvalidAddress(PublishError):
    """An image address that no registry would take."""

    exit_code = 51


class RegistryUnreachable(PublishError):
    """The registry does not answer."""

    exit_code = 52


class RegistryDenied(PublishError):
    """The registry answered 401 or 403."""

    exit_code = 53


class TagExists(PublishError):
    """A tag names another image already and may not be moved (`--no-clobber`)."""

    exit_code = 54


class RegistryFailed(PublishError):
    """The registry kept failing (5xx, 429, dropped connections) through every retry."""

    exit_code = 55


class TagRefused(PublishError):
    """The registry took the image and refused its tag."""

    exit_code = 56


class NotMergeable(PublishError):
    """An image that cannot be joined into one index: missing, or of no known platform."""

    exit_code = 57


class CredentialsUnavailable(PublishError):
    """The docker configuration cannot be read, or a credential helper failed."""

    exit_code = 58


class EngineError(RustMultiarchError):
    """The Dagger engine cannot be used."""

    exit_code = 60


class PrerequisitesMissing(EngineError):
    """Root, Go or packages are missing on this machine; all are named at once."""

    exit_code = 61


class EngineBuildFailed(EngineError):
    """The embedded engine did not compile."""

    exit_code = 62


class EngineStartFailed(EngineError):
    """The embedded engine was started and did not come up."""

    exit_code = 63


class EngineUnreachable(EngineError):
    """No session with the engine could be opened."""

    exit_code = 67


class BaseImageUnavailable(EngineError):
    """A base image cannot be pulled for a platform, nor a stand-in made."""

    exit_code = 64


class UnusableContainer(EngineError):
    """A container handed in as builder, runtime or variant that is not what it has to be."""

    exit_code = 65


class NotAGitRepository(RustMultiarchError):
    """There is no git repository with a commit to take tags and labels from."""

    exit_code = 70


class ShallowClone(RustMultiarchError):
    """The clone lacks tags, so which release is the newest cannot be known."""

    exit_code = 71


class DirtyTree(RustMultiarchError):
    """The working tree differs from its commit, and `--require-clean` was given or a release is built."""

    exit_code = 72


class UnknownUnitGraph(RustMultiarchError):
    """cargo describes its build in a form that this version does not know, so no SBOM can be made."""

    exit_code = 73


class UnusableKey(RustMultiarchError):
    """The signing key is not a private key, is damaged, or is of a kind that images are not signed with."""

    exit_code = 74


class WrongKeyPassword(RustMultiarchError):
    """The signing key does not open with the password."""

    exit_code = 75


def printed(error: ExecError) -> str:
    """All that a failed command printed."""
    return "\n".join(filter(None, (error.stdout, error.stderr)))
