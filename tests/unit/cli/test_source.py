"""Test the upload to an engine: of the files of a clean clone and new files, those that a build needs."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from repositories import git, repository

from pipeline import errors
from pipeline.cli import source
from pipeline.cli.source import Upload
from pipeline.config.settings import Settings


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def package(directory: Path, rest: str = "", main: str = "fn main() {}\n") -> None:
    write(directory / "Cargo.toml", f'[package]\nname = "{directory.name}"\nversion = "1.0.0"\n{rest}')
    write(directory / "src/main.rs", main)


def upload(directory: Path, settings: Settings | None = None, **options: Any) -> Upload:
    return source.upload(source.find(directory), settings or Settings(), **options)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Make a workspace in a repository: `api` uses `shared`, `web` is another member with many files."""
    made = repository(tmp_path / "repo")
    write(made / "Cargo.toml", '[workspace]\nmembers = ["services/*", "shared"]\n')
    write(made / "Cargo.lock")
    write(made / ".cargo/config.toml", "[env]\nA = '1'\n")
    write(made / "README.md")
    package(made / "services/api", '[dependencies]\nshared.path = "../../shared"\n')
    package(made / "services/web", '[dependencies]\nlegacy.path = "../../legacy"\n')
    package(made / "legacy")
    package(made / "shared")
    write(made / "services/web/static/film.mp4")
    write(made / "docs/film.mp4")
    git(made, "add", ".")
    return made


ABOVE = {"Cargo.toml", "Cargo.lock", ".cargo/config.toml"}
OTHERS = {
    "services/web/Cargo.toml",
    "services/web/src/main.rs",
    "legacy/Cargo.toml",
    "legacy/src/main.rs",
}


def test_a_member_and_what_it_uses(repo: Path) -> None:
    found = upload(repo / "services/api")
    assert (found.root, found.directory) == (repo, "services/api")
    assert set(found.include) == {"services/api", "shared", *ABOVE, *OTHERS}
    assert upload(repo, Settings(package="api")).include == found.include
    assert upload(repo, Settings(package="api")).directory == ""


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (Settings(), {}),
        (Settings(package="api", cargo_args=["--workspace"]), {}),
        (Settings(package="api"), {"every_package": True}),
        (Settings(bin=["web"]), {}),
    ],
    ids=["none chosen", "by an argument of cargo", "a check", "a binary of any"],
)
def test_every_member_where_it_may_be_needed(repo: Path, settings: Settings, options: dict[str, Any]) -> None:
    assert set(upload(repo, settings, **options).include) == {
        "services/api",
        "services/web",
        "shared",
        "legacy",
        *ABOVE,
    }


def test_the_whole_repository_is_handed_over_if_that_is_wanted(repo: Path) -> None:
    found = upload(repo / "services/api", whole_repository=True)
    assert (found.root, found.directory, found.include) == (repo, "services/api", ())


def test_a_project_that_is_the_repository_is_handed_over_whole(tmp_path: Path) -> None:
    made = repository(tmp_path / "app")
    package(made)
    found = upload(made)
    assert (found.root, found.directory, found.include) == (made, "", ())


def test_a_manifest_path_names_the_project(repo: Path) -> None:
    here = source.find(repo, Path("services/api/Cargo.toml"))
    assert (here.directory, here.workspace, here.package) == (repo / "services/api", repo, "api")
    for wrong in ("services/api", "services/none/Cargo.toml", "README.md"):
        with pytest.raises(errors.NotACargoProject, match="--manifest-path"):
            source.find(repo, Path(wrong))


def test_what_is_no_directory_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(errors.NotACargoProject, match="directory does not exist"):
        source.find(tmp_path / "gone")


def test_a_repository_without_a_manifest_at_its_top(tmp_path: Path) -> None:
    """cross-rs/cross#139: several crates side by side, and no workspace above them."""
    package(tmp_path / "api", '[dependencies]\nshared.path = "../shared"\n')
    package(tmp_path / "shared")
    with pytest.raises(errors.NotACargoProject, match=r"directory with Cargo\.toml: api, shared"):
        upload(tmp_path)
    assert upload(tmp_path / "api").include == ("api", "shared")


def test_inherited_and_patched_path_dependencies(repo: Path) -> None:
    write(
        repo / "Cargo.toml",
        '[workspace]\nmembers = ["services/*"]\n[workspace.dependencies]\nshared.path = "shared"\n'
        '[patch.crates-io]\nserde = { path = "vendor/serde" }\n',
    )
    package(repo / "services/api", "[target.'cfg(unix)'.build-dependencies]\nshared.workspace = true\n")
    package(repo / "vendor/serde")
    assert {"shared", "vendor/serde"} <= set(upload(repo / "services/api").include)


@pytest.mark.parametrize(
    "code",
    [
        'const T: &str = include_str!("../../../notes/text.md");',
        'const T: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../notes/text.md"));',
        '#[path = "../../../notes/text.md"] mod text;',
        'fn f() { g(&format!("{}/../../notes/text.md", env!("CARGO_MANIFEST_DIR"))) }',
    ],
)
def test_a_file_that_the_code_names_outside_of_its_package(repo: Path, code: str) -> None:
    write(repo / "notes/text.md")
    write(repo / "notes/other.md")
    write(repo / "services/api/src/text.rs", code)
    include = upload(repo / "services/api").include
    assert "notes/text.md" in include
    assert "notes/other.md" not in include


def test_a_link_out_of_the_package_and_code_that_names_more_code(repo: Path) -> None:
    write(repo / "protos/a.proto")
    (repo / "services/api/protos").symlink_to("../../protos")
    write(repo / "common/a.rs", '#[path = "../further/b.rs"] mod b;')
    write(repo / "further/b.rs")
    write(repo / "services/api/src/x.rs", '#[path = "../../../common/a.rs"] mod a;')
    assert {"protos", "common/a.rs", "further/b.rs"} <= set(upload(repo / "services/api").include)


@pytest.mark.parametrize(
    "code", ["env::current_dir()?.parent()", 'dir.join("..")', "dir.ancestors()", "metadata.workspace_root"]
)
def test_a_build_script_that_searches_upward_may_need_anything(repo: Path, code: str) -> None:
    write(repo / "services/api/src/main.rs", code)
    assert upload(repo / "services/api").include, "a program does so when it runs"
    write(repo / "services/api/build.rs", code)
    assert upload(repo / "services/api").include == ()


def test_files_that_macros_and_configuration_look_for(repo: Path) -> None:
    write(repo / ".sqlx/query-1.json")
    write(repo / "services/rust-toolchain.toml")
    write(repo / "third-party/x")
    write(repo / ".cargo/config.toml", '[source.vendored]\ndirectory = "third-party"\n')
    found = set(upload(repo / "services/api").include)
    assert {".sqlx", "services/rust-toolchain.toml", "third-party"} <= found


def test_without_a_repository_cargos_own_search_decides(tmp_path: Path) -> None:
    package(tmp_path / "one/api", '[dependencies]\nshared.path = "../../two/shared"\n')
    package(tmp_path / "two/shared")
    package(tmp_path / "two/other")
    write(tmp_path / ".cargo/config.toml")
    found = upload(tmp_path / "one/api")
    assert (found.root, found.directory) == (tmp_path, "one/api")
    assert found.include == (".cargo/config.toml", "one/api", "two/shared")


def test_the_persons_own_configuration_is_not_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path / "home/app")
    write(tmp_path / "home/.cargo/config.toml")
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "home/.cargo"))
    assert upload(tmp_path / "home/app").root == tmp_path / "home/app"


def test_a_lock_file_that_git_ignores(repo: Path) -> None:
    git(repo, "rm", "--quiet", "--cached", "Cargo.lock")
    write(repo / ".gitignore", "Cargo.lock\n")
    with pytest.raises(errors.LockMissing, match=r"is in \.gitignore") as raised:
        upload(repo / "services/api")
    assert "--include-ignored" in raised.value.fix
    upload(repo / "services/api", include_ignored=True)
    git(repo, "add", "--force", "Cargo.lock")
    upload(repo / "services/api")


def test_what_is_left_out(repo: Path) -> None:
    write(repo / ".gitignore", "*.tmp\n")
    write(repo / "shared/a.tmp")
    write(repo / "gha-creds-1.json")
    found = upload(repo / "services/api")
    assert "shared/a.tmp" in found.exclude
    assert "**/gha-creds-*.json" in found.exclude and "**/.git" in found.exclude
    assert "shared/a.tmp" not in upload(repo / "services/api", include_ignored=True).exclude


def test_a_tracked_file_is_handed_over_whatever_its_name(repo: Path) -> None:
    write(repo / "shared/target/debug/mod.rs")
    write(repo / "shared/tests/id_rsa")
    git(repo, "add", "--force", "shared")
    write(repo / "services/api/target/debug/api")
    write(repo / "services/api/id_rsa")
    found = upload(repo / "services/api")
    assert not {"**/target/debug", "**/id_rsa"} & set(found.exclude)
    assert {"services/api/id_rsa", "**/id_ed25519"} <= set(found.exclude)


def test_tracked_private_files_are_named(repo: Path) -> None:
    write(repo / "cosign.key")
    git(repo, "add", "--force", "cosign.key")
    found = upload(repo / "services/api")
    assert "**/cosign.key" in found.exclude
    (warning,) = found.warnings
    assert "cosign.key" in warning


def test_what_gitignore_names_outside_of_a_repository_is_said(tmp_path: Path) -> None:
    package(tmp_path / "app")
    write(tmp_path / "app/.gitignore", "*.mp4\ntarget\n")
    write(tmp_path / "app/intro.mp4")
    write(tmp_path / "app/target/debug/app")
    (warning,) = upload(tmp_path / "app").warnings
    assert warning.endswith("not uploaded: intro.mp4")
    assert upload(tmp_path / "app", include_ignored=True).warnings == ()


def test_what_no_clean_checkout_has_is_named(repo: Path, tmp_path: Path) -> None:
    """Such an image was called clean, with the commit as its source."""
    write(repo / ".gitignore", "*.gen.rs\ntarget\n")
    for name in ("services/api/a.gen.rs", "docs/b.gen.rs", "services/api/target/debug/app"):
        write(repo / name)
    assert upload(repo / "services/api").added == ()
    assert upload(repo / "services/api", include_ignored=True).added == ("services/api/a.gen.rs",)
    package(tmp_path / "outside")
    package(repo / "services/api", '[dependencies]\noutside.path = "../../../outside"\n')
    assert upload(repo / "services/api").added == ("../outside",)


def test_a_project_that_reaches_beyond_its_repository(repo: Path, tmp_path: Path) -> None:
    package(repo / "services/api", '[dependencies]\nbeside.path = "../../../beside"\n')
    package(repository(tmp_path / "beside"))
    found = upload(repo / "services/api")
    assert (found.root, found.directory) == (tmp_path, "repo/services/api")
    assert {"beside", "repo/services/api"} <= set(found.include)
    assert "beyond its git repository" in found.warnings[0]


@pytest.mark.parametrize("path", ["a*b", "a?b", "[a]", "a\\b", "!a", " a", "a ", "a b", "ä"])
def test_a_path_as_a_pattern(path: str) -> None:
    pattern = source.escaped(path)
    assert pattern == pattern.strip() and not pattern.startswith("!")
    plain = pattern.replace("[ ]", " ").replace("\\\\", "\0").replace("\\", "").replace("\0", "\\")
    assert plain == path


@pytest.mark.parametrize(
    ("kind", "path", "matches"),
    [
        ("target", "target/x", True),
        ("target", "a/target", False),
        ("**/target/debug", "target/debug", True),
        ("**/target/*-*-*", "a/target/x86_64-unknown-linux-gnu/y", True),
        ("**/gha-creds-*.json", "a/gha-creds-1.json", True),
        ("**/gha-creds-*.json", "gha-creds-a/b.json", False),
    ],
)
def test_a_pattern_of_dagger(kind: str, path: str, matches: bool) -> None:
    assert bool(source.pattern(kind).fullmatch(path)) is matches


def test_without_git_dagger_follows_gitignore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "app")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert upload(tmp_path / "app").gitignore
    assert not upload(tmp_path / "app", include_ignored=True).gitignore
    subprocess.run(["/bin/mkdir", str(tmp_path / "app/.git")], check=True)
    with pytest.raises(errors.NotAGitRepository):
        upload(tmp_path / "app")


def test_the_commit_for_build_scripts_misses_nothing(repo: Path, tmp_path: Path) -> None:
    git(repo, "commit", "--quiet", "--message", "all")
    here = source.find(repo / "services/api")
    found = source.upload(here, Settings())
    assert {"docs/film.mp4", "services/web/static/film.mp4"} <= set(found.missing)
    assert not {"Cargo.toml", "services/api/src/main.rs", "shared/Cargo.toml"} & set(found.missing)
    made, place = source.commit(here, found, tmp_path)
    assert place == ""
    hidden = git(repo, "--git-dir", str(made), "ls-files", "-v").splitlines()
    assert "S docs/film.mp4" in hidden and "H shared/Cargo.toml" in hidden


def test_without_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    package(tmp_path / "app")
    here = source.find(tmp_path / "app")
    with pytest.raises(errors.NotAGitRepository, match="--git-metadata"):
        source.commit(here, source.upload(here, Settings()), tmp_path)
