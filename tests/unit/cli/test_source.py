"""Test the upload to an engine: of the files of a clean clone and new files, those that a build needs."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from repositories import git, repository
from typer.testing import CliRunner

from pipeline import cli, errors
from pipeline.cli import packages, session, source
from pipeline.cli.source import Upload
from pipeline.config.settings import Settings
from pipeline.git import absent


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


def test_a_target_outside_of_its_package_has_its_modules_and_files(repo: Path) -> None:
    """Regression: `shared/main.rs` was uploaded alone, and its `mod` failed."""
    (repo / "services/api/src/main.rs").unlink()
    manifest = repo / "services/api/Cargo.toml"
    manifest.write_text(f'{manifest.read_text()}[[bin]]\nname = "api"\npath = "../../common/main.rs"\n')
    write(
        repo / "common/main.rs", 'mod one;\npub(crate) mod r#two;\nconst T: &str = include_str!("text.md");'
    )
    needed = [
        "common/one.rs",
        "common/one/deep.rs",
        "common/two/mod.rs",
        "common/two/far.rs",
        "common/text.md",
    ]
    for name in (*needed, "common/other.rs", "common/other.md"):
        write(repo / name)
    write(repo / "common/one.rs", "#[cfg(test)] mod deep ;")
    write(repo / "common/two/mod.rs", "mod far; mod in_line { }")
    include = set(upload(repo / "services/api").include)
    assert {"common/main.rs", *needed} <= include
    assert not include & {"common/other.rs", "common/other.md", "common"}


def test_a_quoted_name_that_is_too_long_is_no_path(repo: Path) -> None:
    """Regression: the name of such a file is an error of the system, which ended the command."""
    write(repo / "common/a.rs", f'const T: &str = "{"b" * 300}";')
    write(repo / "services/api/src/x.rs", f'#[path = "../../../common/a.rs"] mod a; f("../{"c" * 300}");')
    assert "common/a.rs" in upload(repo / "services/api").include


def test_a_manifest_with_a_byte_order_mark(repo: Path) -> None:
    """Regression: its package was not found, and src/main.rs was not uploaded; cargo reads it."""
    for manifest in (repo / "Cargo.toml", repo / "services/api/Cargo.toml"):
        manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes().replace(b"\n", b"\r\n"))
    assert {"services/api", "shared"} <= set(upload(repo / "services/api").include)


def test_a_link_out_of_the_package_and_code_that_names_more_code(repo: Path) -> None:
    write(repo / "protos/a.proto")
    (repo / "services/api/protos").symlink_to("../../protos")
    write(repo / "common/a.rs", '#[path = "../more/b.rs"] mod b;')
    write(repo / "more/b.rs")
    write(repo / "services/api/src/x.rs", '#[path = "../../../common/a.rs"] mod a;')
    assert {"protos", "common/a.rs", "more/b.rs"} <= set(upload(repo / "services/api").include)


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


@pytest.mark.parametrize(
    ("ignored", "manifest"),
    [
        ("shared\n", "shared/Cargo.toml"),
        ("*\n", "services/api/Cargo.toml"),
        ("/Cargo.*\n", "Cargo.toml"),
        ("services/web\n", ""),
    ],
    ids=["a dependency", "the package", "the workspace", "another package"],
)
def test_a_package_that_git_ignores(repo: Path, ignored: str, manifest: str) -> None:
    """Regression: cargo did not find it in the engine, and the advice was to pass another directory."""
    git(repo, "rm", "--quiet", "-r", "--cached", ".")
    write(repo / ".gitignore", ignored)
    if not manifest:
        upload(repo / "services/api")
        return
    with pytest.raises(errors.InvalidManifest, match=r"the package is in \.gitignore") as raised:
        upload(repo / "services/api")
    assert raised.value.where == str(repo / manifest) and "--include-ignored" in raised.value.fix
    upload(repo / "services/api", include_ignored=True)


def test_a_repository_in_the_repository_that_is_ignored(repo: Path) -> None:
    git(repo, "rm", "--quiet", "-r", "--cached", "shared")
    repository(repo / "shared")
    write(repo / ".gitignore", "shared/\n")
    with pytest.raises(errors.InvalidManifest, match="the package is in"):
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


def test_the_other_tracked_files_have_stand_ins_in_the_build(repo: Path) -> None:
    write(repo / "untracked.txt")
    write(repo / "docs/deleted.md")
    git(repo, "add", "docs")
    (repo / "docs/deleted.md").unlink()
    (repo / "docs/link").symlink_to("film.mp4")
    git(repo, "add", "docs/link")
    found = upload(repo / "services/api")
    assert {"README.md", "docs/film.mp4", "docs/link", "services/web/static/film.mp4"} <= set(found.absent)
    assert not {"untracked.txt", "docs/deleted.md", "Cargo.toml", "services/api/Cargo.toml"} & set(
        found.absent
    )
    assert upload(repo / "services/api", whole_repository=True).absent == ()


def test_a_list_of_stand_ins(tmp_path: Path) -> None:
    write(tmp_path / "a b")
    write(tmp_path / "b", "text")
    write(tmp_path / "c", "text")
    (tmp_path / "c").chmod(0o755)
    (tmp_path / "d").symlink_to("a b")
    listed = absent.listed(tmp_path, ["d", "c", "gone", "b", "a b"])
    assert listed == b"e\3a b\0f\3b\0x\3c\0l\3d\3a b\0f\3gone\0"
    write(tmp_path / "b", "longer text")
    assert absent.listed(tmp_path, ["d", "c", "gone", "b", "a b"]) == listed


def test_a_large_repository_is_not_uploaded_for_code_that_may_look_anywhere(repo: Path) -> None:
    write(repo / "services/api/build.rs", "dir.ancestors()")
    assert upload(repo / "services/api").include == ()
    os.truncate(repo / "docs/film.mp4", source.LARGE)
    found = upload(repo / "services/api")
    assert "docs" not in found.include and "docs/film.mp4" in found.absent


def test_members_above_the_root_and_in_hidden_directories(tmp_path: Path) -> None:
    made = repository(tmp_path / "repo")
    write(made / "root/Cargo.toml", '[workspace]\nmembers = ["../libs/*", ".hidden/*", "deep/**/leaf"]\n')
    for each in ("libs/one", "libs/two", "root/.hidden/three", "root/deep/er/leaf"):
        package(made / each, 'workspace = "../../root"\n' if each.startswith("libs") else "")
    git(made, "add", ".")
    include = set(upload(made / "root").include)
    assert include == {"libs/one", "libs/two", "root"}, "the manifests in libs name the directory root"
    found = {str(each.relative_to(made)) for each in packages.members(made / "root")}
    assert found >= {"libs/one", "libs/two", "root/.hidden/three", "root/deep/er/leaf"}


def test_patches_in_cargos_configuration_with_their_own_dependencies(repo: Path) -> None:
    write(repo / ".cargo/config.toml", "[patch.crates-io]\nserde = { path = 'patched/serde' }\n")
    package(repo / "patched/serde", "[dependencies]\nfurther.path = '../more'\n")
    package(repo / "patched/more")
    assert {"patched/serde", "patched/more"} <= set(upload(repo / "services/api").include)


def test_every_link_on_the_way_is_uploaded(repo: Path) -> None:
    write(repo / "protos/v1/a.proto")
    write(repo / "links/x")
    (repo / "links/current").symlink_to("../protos/v1")
    (repo / "services/api/protos").symlink_to("../../links/current")
    package(repo / "real/lib")
    (repo / "lib").symlink_to("real")
    package(repo / "services/api", "[dependencies]\nlib.path = '../../lib/lib'\n")
    (repo / ".cargo").rename(repo / "configuration")
    (repo / ".cargo").symlink_to("configuration")
    git(repo, "add", ".")
    include = set(upload(repo / "services/api").include)
    assert include >= {"links/current", "protos/v1", "lib", "real/lib", ".cargo", "configuration/config.toml"}


def test_links_in_a_circle_end(repo: Path) -> None:
    (repo / "services/api/one").symlink_to("two")
    (repo / "services/api/two").symlink_to("one")
    assert "services/api" in upload(repo / "services/api").include


def test_a_link_out_of_the_repository_is_warned_about(repo: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/data")
    (repo / "services/api/data").symlink_to(tmp_path / "elsewhere/data")
    (warning,) = upload(repo / "services/api").warnings
    assert str(tmp_path / "elsewhere/data") in warning


def test_without_a_repository_the_workspace_is_uploaded(tmp_path: Path) -> None:
    write(tmp_path / "top/Cargo.toml", '[workspace]\nmembers = ["api"]\n')
    package(tmp_path / "top/api")
    write(tmp_path / "top/VERSION", "1")
    found = upload(tmp_path / "top/api")
    assert (found.root, found.directory, found.include) == (tmp_path / "top", "api", ())


def test_a_sparse_checkout(repo: Path) -> None:
    write(repo / "services/api/data/big.bin", "big")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "--message", "all")
    git(repo, "sparse-checkout", "set", "--no-cone", "/*", "!/services/api/data/", "!/docs/")
    assert not (repo / "services/api/data").exists()
    found = upload(repo / "services/api")
    (warning,) = found.warnings
    assert "services/api/data/big.bin" in warning and "git sparse-checkout add" in warning
    assert {"services/api/data/big.bin", "docs/film.mp4"} <= set(found.absent)
    git(repo, "sparse-checkout", "add", "/services/api/data/")
    assert upload(repo / "services/api").warnings == ()


def test_pointers_of_git_lfs(repo: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    write(repo / ".gitattributes", "*.bin filter=lfs\n")
    write(repo / "services/api/model.bin", pointer)
    write(repo / "docs/other.bin", pointer)
    write(repo / "services/api/text.md", pointer)
    git(repo, "add", ".")
    (warning,) = upload(repo / "services/api").warnings
    assert "services/api/model.bin" in warning and "git lfs pull" in warning
    assert "other.bin" not in warning and "text.md" not in warning
    write(repo / "services/api/model.bin", "content")
    assert upload(repo / "services/api").warnings == ()


def test_a_worktree(repo: Path, tmp_path: Path) -> None:
    git(repo, "commit", "--quiet", "--message", "all")
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    main, tree = upload(repo / "services/api"), upload(tmp_path / "tree/services/api")
    assert (tree.root, tree.include, tree.absent) == (tmp_path / "tree", main.include, main.absent)
    made, _ = source.commit(source.find(tmp_path / "tree/services/api"), tree, tmp_path / "made")
    assert git(repo, f"--git-dir={made}", "rev-parse", "HEAD") == git(repo, "rev-parse", "HEAD")


def test_a_submodule(repo: Path, tmp_path: Path) -> None:
    package(repository(tmp_path / "lib"))
    write(tmp_path / "lib/notes.md", "x")
    write(tmp_path / "lib/Cargo.toml", '[package]\nname = "lib"\n')
    git(tmp_path / "lib", "add", ".")
    git(tmp_path / "lib", "commit", "--quiet", "--message", "all")
    git(repo, "submodule", "--quiet", "add", str(tmp_path / "lib"), "third/lib")
    found = upload(repo / "services/api")
    assert "third/lib/notes.md" in found.absent and "third/lib" not in found.absent
    package(repo / "services/api", "[dependencies]\nlib.path = '../../third/lib'\n")
    found = upload(repo / "services/api")
    assert "third/lib" in found.include and "third/lib/notes.md" not in found.absent


def test_attributes_change_nothing(repo: Path) -> None:
    """`git archive` would leave out `export-ignore`, and a checkout has its line ends as they are on disk."""
    write(repo / ".gitattributes", "*.rs export-ignore ident eol=crlf\n")
    write(repo / "services/api/src/main.rs", "fn main() {}\r\n// $Id$\r\n")
    found = upload(repo / "services/api")
    assert "services/api" in found.include
    assert not [each for each in found.exclude if "main.rs" in each]


def test_names_that_differ_in_case_only(repo: Path) -> None:
    write(repo / ".gitignore", "DATA.txt\n")
    write(repo / "services/api/data.txt")
    write(repo / "services/api/DATA.txt")
    git(repo, "add", ".")
    exclude = upload(repo / "services/api").exclude
    assert "services/api/DATA.txt" in exclude and "services/api/data.txt" not in exclude


def test_the_uploaded_files_are_compared_with_those_in_the_engine(repo: Path) -> None:
    write(repo / "services/api/new/file.txt")
    write(repo / "docs/new.txt")
    write(repo / ".gitignore", "*.tmp\n")
    write(repo / "services/api/a.tmp")
    found = upload(repo / "services/api")
    assert {"Cargo.toml", "shared/src/main.rs"} <= set(found.sent) and "docs/film.mp4" not in found.sent
    assert set(found.others) == {".gitignore", "services/api/new/"}
    assert "services/api/a.tmp" in upload(repo / "services/api", include_ignored=True).others
    written_before(found.root / "services/api/new/file.txt", seconds=absent.SETTLED + 10)
    listed = absent.digests(found.root, found.sent, found.others)
    assert b"\3tracked\3Cargo.toml\0" in listed and b"\3other\3services/api/new/file.txt\0" in listed


def test_a_log_that_still_grows_is_not_compared(repo: Path) -> None:
    """With `rust-multiarch build > log` in the project, the log grows during the upload."""
    write(repo / "services/api/log")
    write(repo / "services/api/src/main.rs")
    found = upload(repo / "services/api")
    listed = absent.digests(found.root, found.sent, found.others)
    assert b"services/api/log\0" not in listed and b"services/api/src/main.rs\0" in listed
    written_before(repo / "services/api/log", seconds=absent.SETTLED + 10)
    assert b"services/api/log\0" in absent.digests(found.root, found.sent, found.others)


def written_before(file: Path, seconds: int) -> None:
    """Set a file's time stamp to some seconds ago."""
    ago = time.time() - seconds
    os.utime(file, (ago, ago))


@pytest.mark.parametrize(("words", "attempts"), [([], [False, True]), (["--whole-repository"], [True])])
def test_an_engine_that_does_not_see_reads_gets_the_whole_repository(
    repo: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], attempts: list[bool]
) -> None:
    """Some hosts mount their disks without access times (`noatime`)."""
    found: list[bool] = []
    upload = source.upload

    def record(*given: Any, **options: Any) -> Upload:
        found.append(options["whole_repository"])
        return upload(*given, **options)

    def refuse(*_: object) -> None:
        raise errors.ReadsUnknown("this engine cannot see")

    monkeypatch.setattr(source, "upload", record)
    monkeypatch.setattr(session, "answer", refuse)
    done = CliRunner().invoke(cli.app, ["natives", *words, str(repo / "services/api")])
    assert isinstance(done.exception, errors.ReadsUnknown) and found == attempts
    assert ("now the whole repository is uploaded" in done.output) is (not words)
