"""A team's week with a repository, its forge and its pipeline: opened, commented, overtaken, merged, applied, healed.

The forge is a bare repository whose hook notes what was pushed; the pipeline checks that out and runs what a
repository's pipeline runs, with a planner's token for a merge request and an applier's on the protected branch.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from registrar.policy import Role, grants, hcl
from tests.cli.manifests import CATALOGUE_URI, TWO, VIEWER_URI
from tests.cli.program import Program, Result
from tests.cli.services import Services

CONFIG = "set: twin\ntargets:\n  dev: {vault_prefix: nexus/dev}\n"
HOOK = '#!/bin/sh\ncat >> "$GIT_DIR/pushed"\n'
MOVED_URI = VIEWER_URI.replace("callback", "return")
MORE = """\
  - name: Plant Notes
    redirect_uri: https://notes.example.org/cb
    owner_email: notes@example.org
"""
NEXUS_KEY = ("NEXUS_API_KEY", "NEXUS_API_SECRET")


def git(folder: Path, *words: str) -> str:
    """Git as it is without anybody's configuration."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "dev@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *words], cwd=folder, env=environ, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


@dataclass
class Team:
    """The remote, a developer's clone of it, and a pipeline with the tokens of both roles."""

    folder: Path
    services: Services
    jobs: int = 0
    comments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        git(self.folder, "init", "-q", "--bare", "-b", "main", "remote.git")
        hook = self.folder / "remote.git" / "hooks" / "post-receive"
        hook.write_text(HOOK)
        hook.chmod(0o755)
        git(self.folder, "clone", "-q", "remote.git", "clone")
        policies = {role: hcl(grants(role, "secret", "nexus/dev")) for role in (Role.PLANNER, Role.APPLIER)}
        self.tokens = {role: self.services.root.token(text, "").reveal() for role, text in policies.items()}

    def push(self, branch: str, files: dict[str, str], *, since: str = "") -> None:
        """A developer's commit on a new branch, which begins at `since` or with nothing."""
        clone = self.folder / "clone"
        git(clone, "switch", "-q", *(["-c", branch, since] if since else ["--orphan", branch]))
        for name, content in files.items():
            (clone / name).parent.mkdir(exist_ok=True)
            (clone / name).write_text(content)
        git(clone, "add", "-A")
        git(clone, "commit", "-q", "-m", branch)
        git(clone, "push", "-q", "origin", branch)
        assert self.pushed() == branch

    def merge(self, branch: str) -> None:
        clone = self.folder / "clone"
        git(clone, "switch", "-q", "main")
        git(clone, "merge", "-q", "--no-ff", "-m", f"merge {branch}", branch)
        git(clone, "push", "-q", "origin", "main")
        assert self.pushed() == "main"

    def pushed(self) -> str:
        """The branch that the hook has heard of last, which is what starts a pipeline."""
        return (self.folder / "remote.git" / "pushed").read_text().split()[-1].removeprefix("refs/heads/")

    def job(self, branch: str, role: Role) -> Program:
        """A fresh checkout of what was pushed, with what this role is given."""
        self.jobs += 1
        here = self.folder / f"job-{self.jobs}"
        here.mkdir()
        git(here, "clone", "-q", "-b", branch, str(self.folder / "remote.git"), "checkout")
        environ = self.services.environ | {"VAULT_TOKEN": self.tokens[role]}
        if role is Role.PLANNER:
            environ = {name: value for name, value in environ.items() if name not in NEXUS_KEY}
        return Program(here, environ)

    def merge_request(self, branch: str) -> tuple[Result, str]:
        """What runs for a merge request: how `validate` ended, and the comment."""
        job = self.job(branch, Role.PLANNER)
        protected = git(job.folder, "show", "origin/main:registrar.yaml")
        (job.folder.parent / "protected.yaml").write_text(protected)
        careful = ("--untrusted", "--config", "../protected.yaml")
        checked = job.call("validate", *careful)
        planned = job.call("plan", *careful, "--without-nexus", "-o", "markdown")
        assert planned.code == checked.code, planned.err
        self.comments.append(planned.out)
        return checked, planned.out

    def planned(self) -> tuple[Program, str]:
        """What runs after a merge: the full plan as a file, and its digest."""
        job = self.job("main", Role.APPLIER)
        plan = job.call("plan", "--out", "../plan.json", "--force")
        assert plan.code == 0, plan.err
        found = re.search(r"^Digest: (\w+)$", plan.out, re.MULTILINE)
        return job, found[1] if found else ""

    def nightly(self) -> Result:
        return self.job("main", Role.APPLIER).call("status", "--detailed-exitcode")


@pytest.fixture
def team(tmp_path: Path, services: Services) -> Team:
    """A repository whose two applications are registered."""
    team = Team(tmp_path, services)
    team.push("main", {"registrar.yaml": CONFIG, "manifests/apps.yaml": TWO})
    job, _ = team.planned()
    assert job.call("apply", "--plan", "../plan.json").code == 0
    assert team.nightly().code == 0
    return team


def drifted(team: Team, **fields: str) -> None:
    """Somebody changes an application on the Site Management page."""
    team.services.by_hand.update(team.services.id_of("Digital Twin Viewer"), fields)


def test_a_merge_request_is_reviewed_overtaken_merged_and_applied(team: Team) -> None:
    team.push("move", {"manifests/apps.yaml": TWO.replace(VIEWER_URI, MOVED_URI)}, since="main")
    team.push("add", {"manifests/apps.yaml": TWO + MORE}, since="main")

    checked, comment = team.merge_request("move")
    assert (checked.code, checked.err) == (0, "")
    assert "**This breaks clients of 1 application**" in comment
    assert "Digest" not in comment
    page = MarkdownIt().enable("table").render(comment)
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", page)]
    assert cells == ["update (breaks clients)", "Digital Twin Viewer", "redirect_uri", VIEWER_URI, MOVED_URI]
    assert "Plant Notes" in team.merge_request("add")[1]

    team.merge("move")
    job, digest = team.planned()
    drifted(team, description="changed by hand, after the review")
    for approval in (("--plan", "../plan.json"), ("--yes", "--expect", digest)):
        refused = job.call("apply", *approval)
        assert refused.code == 6
        assert "Digital Twin Viewer (viewer)" in refused.err
    assert 'description: reviewed was "3-D viewer' in job.call("apply", "--plan", "../plan.json").err
    assert MOVED_URI not in {found["redirect_uri"] for found in team.services.registered()}

    job, digest = team.planned()
    applied = job.call("apply", "--plan", "../plan.json", "--expect", digest, "-o", "markdown")
    assert applied.code == 0, applied.err
    assert "| done | update | Digital Twin Viewer | viewer |" in applied.out
    assert {found["redirect_uri"] for found in team.services.registered()} == {MOVED_URI, CATALOGUE_URI}


def test_what_drifts_is_seen_at_night_and_healed(team: Team) -> None:
    drifted(team, redirect_uri="https://viewer.example.org/by-hand")
    seen = team.nightly()
    assert seen.code == 2
    assert "drift" in seen.out
    job, _ = team.planned()
    assert job.call("apply", "--plan", "../plan.json").code == 0
    assert team.nightly().code == 0


def test_a_branch_that_points_elsewhere_is_told_of_and_goes_nowhere(team: Team) -> None:
    evil = CONFIG.replace("nexus/dev", "nexus/dev, vault_addr: 'http://127.0.0.1:1'")
    team.push("evil", {"registrar.yaml": evil, "manifests/more.yaml": f"apps:\n{MORE}"}, since="main")
    checked, comment = team.merge_request("evil")
    assert checked.code == 0
    assert (
        checked.err == "The registrar.yaml of this checkout is not used; it differs from what is, in dev.vault_addr.\n"
    )
    assert comment.splitlines()[2].startswith("> ⚠️ The registrar.yaml of this checkout is not used")
    assert "Plant Notes" in comment

    team.push("broken", {"manifests/apps.yaml": TWO.replace("https://viewer", "http://viewer")}, since="main")
    checked, comment = team.merge_request("broken")
    assert (checked.code, comment) == (4, "")
    assert "RU003" in checked.out
