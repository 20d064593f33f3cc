"""`validate --changed-since`: real repositories, also such as would run something if they were let."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar import lint
from registrar.changed import answerable
from registrar.lint import Entry, Place
from registrar.model import Application, Target
from tests.cli.program import Program, Result

WELL = "apps:\n  - {name: %s, redirect_uri: 'https://%s.example.org/cb', owner_email: a@example.org}\n"
BAD = "apps:\n  - {name: %s, redirect_uri: 'ftp://%s.example.org/cb', owner_email: a@example.org}\n"


@dataclass
class Repository:
    """A repository in the program's working folder."""

    program: Program

    def git(self, *words: str, folder: Path | None = None) -> str:
        who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
        who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
        environ = {**self.program.environ, **who, "GIT_CONFIG_NOSYSTEM": "1"}
        at = folder or self.program.folder
        done = subprocess.run(["git", *words], cwd=at, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, message: str = "a change") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def manifest(self, name: str, text: str = WELL) -> None:
        word = Path(name).stem
        self.program.write(f"apps/{name}.yaml", text.replace("%s", word))

    def judged(self, *words: str, ref: str = "main") -> Result:
        return self.program.call("validate", "apps", "--changed-since", ref, *words)


@pytest.fixture
def repository(program: Program) -> Repository:
    """On a branch beside main, with one manifest that is wrong and two that are not."""
    made = Repository(program)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.manifest("bad", BAD)
    made.manifest("first")
    made.manifest("team/second")
    made.commit()
    made.git("checkout", "--quiet", "-b", "branch")
    return made


def places(result: Result) -> list[str]:
    """Rule and file of each finding."""
    return [f"{finding['rule']} {finding['file']}" for finding in result.document["findings"]]


# ── what differs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_as_it_was_is_read_and_not_judged(repository: Repository) -> None:
    assert repository.program.call("validate", "apps").code == 4
    same = repository.judged()
    assert (same.code, same.out) == (0, "3 applications in 3 files: valid\n")
    assert same.err == "0 of 3 files differ from main; they alone are judged.\n"

    repository.manifest("new", BAD)  # git does not know it yet
    repository.manifest("team/second", BAD)
    result = repository.judged("-o", "json")
    assert (result.code, places(result)) == (4, ["RU003 apps/new.yaml", "RU003 apps/team/second.yaml"])
    assert len(result.document["files"]) == 4
    repository.commit()
    assert repository.judged("-o", "json").out == result.out
    repository.git("checkout", "--quiet", "main")
    assert repository.judged(ref="branch").code == 0  # main has nothing that is not on the branch


def test_a_warning_counts_as_without_it(repository: Repository) -> None:
    repository.manifest("first", WELL.replace(", owner_email: a@example.org", ""))
    assert repository.judged().code == 0
    assert repository.judged("--fail-level", "warning").code == 4


def test_a_name_taken_by_a_changed_file_is_told_at_the_unchanged_one(repository: Repository) -> None:
    repository.program.write("apps/a.yaml", WELL.replace("%s", "first", 1).replace("%s", "other"))
    result = repository.judged()
    assert result.code == 4
    assert "apps/first.yaml:2:12: error AP001: the name is taken by the application at apps/a.yaml:2:12" in result.out
    assert "apps/first.yaml:2:12: error AP003: the path is taken by the application at apps/a.yaml:2:12" in result.out
    assert "bad.yaml" not in result.out
    (repository.program.folder / "apps/a.yaml").rename(repository.program.folder / "apps/z.yaml")
    moved = repository.judged().out
    assert "apps/z.yaml:2:12: error AP001: the name is taken by the application at apps/first" in moved


def test_what_was_taken_before_stays_out(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "main")
    repository.program.write("apps/zz.yaml", WELL.replace("%s", "first"))
    repository.commit()
    repository.git("checkout", "--quiet", "-b", "later")
    repository.manifest("new")
    assert repository.program.call("validate", "apps", "-o", "json").out.count('"AP001"') == 1
    assert repository.judged().code == 0


def test_what_came_on_main_since_is_not_ours(repository: Repository) -> None:
    repository.manifest("new")
    repository.commit()
    repository.git("checkout", "--quiet", "main")
    repository.manifest("first", BAD)
    repository.commit()
    repository.git("checkout", "--quiet", "branch")
    result = repository.judged("-o", "json")
    assert (result.code, places(result)) == (0, [])
    assert "1 of 4 files" in result.err


def test_a_moved_file_is_a_changed_one(repository: Repository) -> None:
    repository.git("mv", "apps/bad.yaml", "apps/moved.yaml")
    assert places(repository.judged("-o", "json")) == ["RU003 apps/moved.yaml"]


def test_a_link_is_judged_by_where_it_leads_and_by_itself(repository: Repository) -> None:
    repository.program.write("apps/.hidden/bad.yaml", BAD.replace("%s", "linked"))
    link = repository.program.folder / "apps/link.yaml"
    link.symlink_to(".hidden/bad.yaml")
    repository.commit()
    assert places(repository.judged("-o", "json", ref="HEAD")) == []
    link.unlink()
    link.symlink_to("../apps/.hidden/bad.yaml")
    assert places(repository.judged("-o", "json", ref="HEAD")) == ["RU003 apps/link.yaml"]
    repository.git("checkout", "--", "apps/link.yaml")
    repository.program.write("apps/.hidden/bad.yaml", BAD.replace("%s", "otherwise"))
    assert places(repository.judged("-o", "json", ref="HEAD")) == ["RU003 apps/link.yaml"]


def test_what_git_does_not_have_is_judged(repository: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(BAD.replace("%s", "outside"))
    words = ("validate", "-", str(outside), "apps", "--changed-since", "main", "-o", "json")
    result = repository.program.call(*words, stdin=BAD.replace("%s", "typed").encode())
    assert places(result) == [f"RU003 {outside}", "RU003 <stdin>"]


def test_where_the_configuration_differs_everything_is_judged(repository: Repository) -> None:
    file = repository.program.write("registrar.yaml", "manifests: apps\n")
    new = repository.judged("-o", "json")
    assert (new.code, places(new)) == (4, ["RU003 apps/bad.yaml"])
    assert new.err.startswith("registrar.yaml differs from main, and may change what is right anywhere")
    repository.commit()
    assert repository.judged(ref="HEAD").code == 0
    file.write_text("manifests: apps\ncontact: me\n")
    assert repository.judged(ref="HEAD").code == 4
    elsewhere = repository.program.home / "registrar.yaml"
    file.rename(elsewhere)
    assert repository.judged("--config", str(elsewhere)).code == 0


def test_every_target_has_findings_of_its_own(repository: Repository) -> None:
    location = "{nexus_url: 'https://n.example.org', vault_addr: 'https://v.example.org', vault_prefix: %s}"
    targets = "".join(f"  {name}: {location % name}\n" for name in ("dev", "live"))
    repository.program.write("registrar.yaml", f"manifests: apps\ndefault_target: dev\ntargets:\n{targets}")
    repository.commit()
    own = "apps:\n  - {name: New, redirect_uri: 'https://new.example.org/cb', owner_email: a@example.org, targets: "
    repository.program.write("apps/new.yaml", own + "{live: {name: First}}}\n")
    result = repository.judged("-o", "json", ref="HEAD")
    assert places(result) == ["AP001 apps/new.yaml"]
    assert "apps/first.yaml" in result.document["findings"][0]["message"]


def test_it_works_in_a_subfolder_and_in_a_hook(repository: Repository) -> None:
    """git tells its hooks where it is at work, which is no word for another git."""
    repository.manifest("new", BAD)
    program = Program(repository.program.folder.parent, {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/"})
    program.folder = repository.program.folder / "apps"
    result = program.call("validate", ".", "--changed-since", "main", "-o", "json")
    assert places(result) == ["RU003 new.yaml"]


def test_objects_named_by_sha256(program: Program) -> None:
    made = Repository(program)
    made.git("init", "--quiet", "--initial-branch", "main", "--object-format", "sha256")
    made.manifest("bad", BAD)
    made.commit()
    assert made.judged().code == 0
    made.manifest("bad", BAD + "#")
    assert made.judged().code == 4


# ── where git cannot tell ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ref", ["nowhere", "", "--all", "-h", "main..HEAD", "HEAD:apps", "a b\x1b[31m"])
def test_what_is_no_commit_is_a_usage_error(repository: Repository, ref: str) -> None:
    result = repository.program.call("validate", "apps", f"--changed-since={ref}")
    assert (result.code, result.out) == (64, "")
    assert "git knows no commit" in result.err
    assert "git fetch" in result.err
    assert "\x1b" not in result.err


def test_histories_without_a_commit_in_common(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.commit("another beginning")
    result = repository.judged()
    assert result.code == 64
    assert "HEAD and `main` have no commit in common here" in result.err
    assert "fetch-depth: 0" in result.err


def test_without_a_repository_or_git(program: Program) -> None:
    program.write("apps/app.yaml", WELL)
    outside = Repository(program).judged()
    assert outside.code == 64
    assert "--changed-since needs a git repository: not a git repository" in outside.err
    program.environ["PATH"] = "/nowhere:."
    program.write("git", "#!/bin/sh\ntouch ran\n").chmod(0o755)
    without = Repository(program).judged()
    assert without.code == 64
    assert "needs git, which is not there" in without.err
    assert not (program.folder / "ran").exists()
    program.environ["PATH"] = str(program.folder)
    (program.folder / "git").chmod(0o644)
    assert "git does not answer: Permission denied" in Repository(program).judged().err


def test_what_git_advises_is_the_hint(repository: Repository) -> None:
    """As it speaks of a repository that belongs to somebody else."""
    advice = "fatal: detected dubious ownership in repository at '/x'\n\n\tgit config --global --add safe.directory /x"
    folder = repository.program.home / "bin"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(advice)} >&2\nexit 128\n")
    (folder / "git").chmod(0o755)
    repository.program.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    result = repository.judged()
    assert result.code == 64
    assert "detected dubious ownership" in result.err
    assert "  → git config --global --add safe.directory /x\n" in result.err


# ── hostile repositories ──────────────────────────────────────────────────────────────────────────────────────────────


def armed(repository: Repository, ran: Path) -> None:
    """Everything in a repository's own configuration, attributes and hooks that names a program to run."""
    run = repository.program.home / "run"
    run.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(ran))}\ncat\n")
    run.chmod(0o755)
    for key in (
        *("core.fsmonitor", "core.pager", "core.sshCommand", "core.askPass", "core.editor", "diff.external"),
        *("filter.x.clean", "filter.x.smudge", "diff.x.textconv", "diff.x.command", "credential.helper"),
        *("pager.diff", "pager.ls-tree", "uploadpack.packObjectsHook", "remote.origin.uploadpack"),
        *(f"alias.{word}" for word in ("diff", "ls-tree", "merge-base", "rev-parse")),
    ):
        repository.git("config", key, f"!{run}" if key.startswith(("alias", "credential")) else str(run))
    repository.program.write(".gitattributes", "* filter=x diff=x\n")
    for hook in ("post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman"):
        target = repository.program.folder / ".git/hooks" / hook
        target.write_bytes(run.read_bytes())
        target.chmod(0o755)


def test_a_repository_runs_nothing_of_its_own(repository: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    armed(repository, ran)
    repository.manifest("first", BAD)
    assert places(repository.judged("-o", "json")) == ["RU003 apps/first.yaml"]
    assert not ran.exists()
    repository.git("diff", "--name-only", "main")  # what is not used, and why
    assert ran.exists()


def test_what_a_partial_clone_lacks_is_not_fetched(repository: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    armed(repository, ran)
    (tree,) = repository.git("rev-parse", "main^{tree}").split()
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": "ssh://git.example.org/x",
        "remote.origin.promisor": "true",
    }.items():
        repository.git("config", key, value)
    (repository.program.folder / ".git/objects" / tree[:2] / tree[2:]).unlink()
    result = repository.judged()
    assert (result.code, result.out) == (64, "")
    assert "git cannot list `main`" in result.err
    assert not ran.exists()


def test_a_folder_that_looks_like_a_repository_is_none(repository: Repository) -> None:
    """A branch can bring one along, with a configuration of its own, in which every file is as it was."""
    repository.manifest("new", BAD)
    fake = repository.program.folder / "apps/fake"
    repository.git("clone", "--quiet", "--bare", ".git", str(fake))
    repository.git("config", "core.bare", "false", folder=fake)
    repository.git("config", "core.worktree", str(repository.program.folder), folder=fake)
    assert repository.git("rev-parse", "--show-toplevel", folder=fake)  # git believes it, if it is let
    program = Program(repository.program.folder.parent)
    program.folder = fake
    result = program.call("validate", "..", "--changed-since", "main")
    assert (result.code, result.out) == (64, "")
    assert "cannot use bare repository" in result.err


# ── who answers for what ──────────────────────────────────────────────────────────────────────────────────────────────

TARGET = Target("lab", "https://nexus.example.org", "https://nexus.example.org", "https://vault.example.org")
FILES = ("a", "b", "c", "d")


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Applications of few names and paths, in files."""
    found = []
    for line in range(1, draw(st.integers(1, 7))):
        place = Place(draw(st.sampled_from(FILES)), line, 1)
        name = draw(st.sampled_from(("One", "Two", "one", "")))
        path = draw(st.sampled_from(("x", "x/y", "z")))
        found.append(Entry(Application(path, name, "https://x.example.org/cb"), {"": place}))
    return sorted(found, key=lambda entry: entry.place(""))


@given(entries(), st.sets(st.sampled_from(FILES)))
def test_nothing_that_a_change_causes_is_lost(found: Sequence[Entry], unchanged: set[str]) -> None:
    findings = lint.check(found, TARGET)
    before = lint.check([entry for entry in found if entry.place("").file in unchanged], TARGET)
    told = answerable(findings, found, TARGET, unchanged)
    assert {*findings} - {*told} <= {*before}
    assert {finding for finding in findings if finding.file not in unchanged} <= {*told}
    assert not {*told} & {finding for finding in before if finding.file in unchanged}
    assert answerable(findings, found, TARGET, set()) == findings
    assert answerable(findings, found, TARGET, set(FILES)) == ()
