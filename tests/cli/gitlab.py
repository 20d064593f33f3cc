"""As much of GitLab as our pipeline uses: which jobs a pipeline has, and each job's script run as a runner does.

A keyword or an expression that is not played here is an error: what a test did not see must not pass for seen.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import registrar
from tests.cli.program import Result, finished

Json = dict[str, Any]

_ROOT = Path(registrar.__file__).parents[1]
_GLOBAL = {"variables", "stages", "workflow", "default"}
_PLAYED = {"stage", "rules", "before_script", "script", "needs", "artifacts", "id_tokens", "environment"}
_IDLE = {"interruptible", "resource_group", "extends"}
"""Keywords of a job that have no effect on one that runs alone; `extends` has had its own."""


def git(folder: Path, *words: str) -> str:
    """What git says, with no configuration but the repository's."""
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *words], cwd=folder, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def shim(folder: Path) -> Path:
    """A folder for PATH in which `registrar` and `python3` are this Python's."""
    folder.mkdir(exist_ok=True)
    for name, words in (("registrar", "-m registrar"), ("python3", "")):
        file = folder / name
        file.write_text(f'#!/bin/sh\nPYTHONPATH="{_ROOT}" exec "{sys.executable}" {words} "$@"\n')
        file.chmod(0o755)
    return folder


# ── what a pipeline has ───────────────────────────────────────────────────────────────────────────────────────────────


def true(expression: str, variables: Mapping[str, str]) -> bool:
    """What `rules: if` says of these variables."""
    return all(_compares(part.strip(), variables) for part in expression.split("&&"))


def _compares(text: str, variables: Mapping[str, str]) -> bool:
    match = re.fullmatch(r'\$(\w+)(?: (==|!=) (?:\$(\w+)|"([^"$]*)"))?', text)
    assert match, f"not played here: {text}"
    value, other = variables.get(match[1]), variables.get(match[3]) if match[3] else match[4]
    return bool(value) if not match[2] else (value == other) == (match[2] == "==")


def when(rules: list[Json], variables: Mapping[str, str]) -> str:
    """What the first rule that holds says; `never` where none does."""
    for rule in rules:
        assert rule.keys() <= {"if", "when"}, rule
        if true(rule["if"], variables):
            return str(rule.get("when", "on_success"))
    return "never"


def merged(below: Json, above: Json) -> Json:
    """Two jobs as `extends` puts them together: mappings by their keys, everything else as a whole."""
    deep = {key: merged(below[key], value) for key, value in above.items() if isinstance(below.get(key), dict)}
    return {**below, **above, **deep}


def jobs(document: Json) -> dict[str, Json]:
    """The jobs of a pipeline's file, in its order, each with what it extends."""

    def whole(name: str) -> Json:
        job = document[name]
        extended = job.get("extends", [])
        found: Json = {}
        for below in [extended] if isinstance(extended, str) else extended:
            found = merged(found, whole(below))
        return merged(found, job)

    return {name: whole(name) for name in document if name not in _GLOBAL and not name.startswith(".")}


# ── running one ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Job:
    """A job that ran: how it ended, with which environment, and what it left."""

    result: Result
    environ: dict[str, str]
    files: dict[str, bytes]
    variables: dict[str, str]


@dataclass
class Project:
    """A project of GitLab: a bare repository on disk, and the variables that its settings have for every branch."""

    remote: Path
    work: Path
    variables: dict[str, str] = field(default_factory=dict)
    pipelines: int = 0

    def push(self, source: str) -> Pipeline:
        """The pipeline of a push to the default branch, or of its schedule."""
        commit = git(self.remote, "rev-parse", "main")
        return self._pipeline(source, commit, "main", {"CI_COMMIT_BRANCH": "main"})

    def merge_request(self, branch: str) -> Pipeline:
        """The pipeline of a merge request of this branch into the default one."""
        commit = git(self.remote, "rev-parse", branch)
        return self._pipeline(
            "merge_request_event",
            commit,
            branch,
            {
                "CI_MERGE_REQUEST_IID": "7",
                "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
                "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(self.remote, "merge-base", "main", commit),
            },
        )

    def _pipeline(self, source: str, commit: str, ref: str, more: dict[str, str]) -> Pipeline:
        document = yaml.safe_load(git(self.remote, "show", f"{commit}:.gitlab-ci.yml"))
        self.pipelines += 1
        predefined = {
            "CI": "true",
            "CI_PIPELINE_SOURCE": source,
            "CI_COMMIT_SHA": commit,
            "CI_COMMIT_REF_NAME": ref,
            "CI_DEFAULT_BRANCH": "main",
            "CI_PROJECT_ID": "4711",
            "CI_PROJECT_PATH": "example/applications",
            **more,
        }
        variables = {**document["variables"], **self.variables, **predefined}
        return Pipeline(self, document, variables, self.work / f"pipeline-{self.pipelines}")


@dataclass
class Pipeline:
    """A pipeline: its jobs by name with `on_success` or `manual`, and those that ran."""

    project: Project
    document: Json
    variables: dict[str, str]
    folder: Path
    ran: dict[str, Job] = field(default_factory=dict)

    @property
    def jobs(self) -> dict[str, str]:
        """Those that the rules make, in the order of their stages."""
        if when(self.document["workflow"]["rules"], self.variables) == "never":
            return {}
        every = jobs(self.document)
        found = {name: when(job["rules"], self.variables) for name, job in every.items()}
        order = sorted(found, key=lambda name: self.document["stages"].index(every[name]["stage"]))
        return {name: found[name] for name in order if found[name] != "never"}

    def run(self, name: str) -> Job:
        """Run a job whose needs have run, in a fresh clone, with `sh -e` as a runner does."""
        assert name in self.jobs, self.jobs
        job = jobs(self.document)[name]
        assert job.keys() <= _PLAYED | _IDLE, job.keys() - _PLAYED - _IDLE
        checkout = self.folder / name / "checkout"
        checkout.parent.mkdir(parents=True)
        git(self.folder, "clone", "--quiet", str(self.project.remote), str(checkout))
        git(checkout, "checkout", "--quiet", self.variables["CI_COMMIT_SHA"])
        environ = self._environ(job, checkout.parent)
        for needed in (self.ran[one] for one in job.get("needs", [])):
            environ |= needed.variables
            for file, content in needed.files.items():
                (checkout / file).write_bytes(content)
        script = checkout.parent / "script"
        script.write_text("\n".join([*job.get("before_script", []), *job["script"]]) + "\n")
        process = subprocess.Popen(
            ["sh", "-e", str(script)],
            cwd=checkout,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        artifacts = job.get("artifacts", {})
        assert artifacts.keys() <= {"paths", "reports", "expose_as", "expire_in"}
        result = finished(process)
        files = {} if result.code else {file: (checkout / file).read_bytes() for file in artifacts.get("paths", [])}
        report = checkout / artifacts.get("reports", {}).get("dotenv", "none")
        variables = dotenv(report.read_text()) if report.exists() else {}
        shutil.rmtree(checkout)
        self.ran[name] = Job(result, environ, files, variables)
        return self.ran[name]

    def _environ(self, job: Json, home: Path) -> dict[str, str]:
        environ = {
            "PATH": f"{shim(self.folder / 'bin')}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "SSL_CERT_FILE": os.devnull,  # no TLS here, and the system's take long to read
            **self.variables,
        }
        for name, token in job.get("id_tokens", {}).items():
            environ[name] = self._id_token(job, re.sub(r"\$(\w+)", lambda match: environ[match[1]], token["aud"]))
        return environ

    def _id_token(self, job: Json, audience: str) -> str:
        """What GitLab signs of a job, without the signature."""
        ref = self.variables["CI_COMMIT_REF_NAME"]
        claims = {
            "aud": audience,
            "project_id": self.variables["CI_PROJECT_ID"],
            "project_path": self.variables["CI_PROJECT_PATH"],
            "ref": ref,
            "ref_type": "branch",
            "ref_protected": "true" if ref == "main" else "false",
            **({"environment": job["environment"]} if "environment" in job else {}),
        }
        return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signed"


def dotenv(text: str) -> dict[str, str]:
    """The variables of a report as GitLab takes them: no empty line, no comment, no quotes."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([A-Za-z_]\w*)=([^'\"\s]*)", line)
        assert match, f"GitLab refuses the report: {line!r}"
        found[match[1]] = match[2]
    return found
