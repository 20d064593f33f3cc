"""The pipelines that `init ci` writes: by their vendors' schemas, by what each job may do, and GitLab's job by job.

The stand-in of Vault has no auth methods: a door before it answers the login, by the roles that PIPELINE.md makes and
the claims of the job's own id token, with a token of the policies that PIPELINE.md makes.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from registrar.cli.changes import plan
from tests.cli.gitlab import Job, Project, dotenv, git, jobs, shim, true, when
from tests.cli.manifests import TWO, VIEWER_URI
from tests.cli.program import Program, Result
from tests.cli.services import Services
from tests.contract.vault_wire import Seen, answer, listening
from tests.custody.proxy import Answer, Exchange, Proxy

SCAFFOLD = Path(str(resources.files("registrar"))) / "scaffold"
FILES = {"gitlab": ".gitlab-ci.yml", "github": ".github/workflows/registrar.yaml"}
EXAMPLE_URI = "https://example-app.example.gov/oauth/callback"
Json = dict[str, Any]


def document(forge: str) -> Any:
    """A pipeline as YAML 1.1 reads it."""
    found = yaml.safe_load((SCAFFOLD / forge / FILES[forge]).read_text())
    assert isinstance(found, dict)
    return found


def scripts(forge: str) -> dict[str, list[str]]:
    """The lines that each job runs; those that a backslash joins are one."""
    if forge == "gitlab":
        found = {
            name: "\n".join([*job.get("before_script", []), *job["script"]])
            for name, job in jobs(document(forge)).items()
        }
    else:
        found = {
            name: "\n".join(step.get("run", "") for step in job["steps"])
            for name, job in document(forge)["jobs"].items()
        }
    return {name: re.sub(r"\\\n\s*", "", text).splitlines() for name, text in found.items()}


def commands(forge: str) -> dict[str, list[str]]:
    """The words of the one registrar command that a job runs, without where the base's configuration is."""
    found = {}
    for name, lines in scripts(forge).items():
        called = [line.partition(" #")[0].partition(" >")[0] for line in lines if line.startswith("registrar ")]
        if called:
            (line,) = called
            found[name] = ["BASE" if "base" in word else word for word in shlex.split(line)]
    return found


# ── as they are written ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("forge", "schema"), [("gitlab", "gitlab-ci"), ("github", "github-workflows")])
def test_the_vendors_schema_has_nothing_to_say(forge: str, schema: str) -> None:
    published = json.loads((resources.files("check_jsonschema.builtin_schemas.vendor") / f"{schema}.json").read_text())
    validator = jsonschema.validators.validator_for(published)(published)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document(forge))] == []
    broken: Any = {"gitlab": {"plan": {"scirpt": "x"}}, "github": {"on": "push", "jobs": {"plan": {"steps": []}}}}[
        forge
    ]
    assert not validator.is_valid(broken), "the schema sees something"


def test_a_yaml_1_1_parser_reads_on_as_a_word() -> None:
    assert set(document("github")["on"]) == {"pull_request", "push", "schedule"}


def test_both_forges_do_the_same() -> None:
    gitlab, github = commands("gitlab"), commands("github")
    assert gitlab == github
    assert gitlab["plan"] == [
        *("registrar", "plan", "--untrusted", "--config", "BASE", "--vault-role", "registrar-plan"),
        *("--without-nexus", "--output", "markdown", "manifests"),
    ]
    assert gitlab["apply"] == [
        *("registrar", "apply", "--vault-role", "registrar-apply", "--yes", "--expect", "$DIGEST")
    ]
    assert [name for name, words in gitlab.items() if "--vault-role" not in words] == ["validate"]


@pytest.mark.parametrize("forge", FILES)
def test_what_is_told_of_the_jobs_is_what_they_are(forge: str) -> None:
    text = (SCAFFOLD / forge / "PIPELINE.md").read_text()
    told = {row[0]: row[1] for row in re.findall(r"^\| [^|]+ \| `(\w+)` \| .* \| (.+?) \|$", text, re.MULTILINE)}
    assert told == {"validate": "none", "comment": "none"} | {
        name: f"`{words[words.index('--vault-role') + 1]}`"
        for name, words in commands(forge).items()
        if "--vault-role" in words
    }
    assert {role for role in told.values() if role != "none"} == {f"`{role}`" for role in roles_of(forge)}


def test_each_job_of_github_may_do_what_it_needs_and_no_more() -> None:
    workflow = document("github")
    assert workflow["permissions"] == {}
    called = commands("github")
    for name, job in workflow["jobs"].items():
        logs_in = "--vault-role" in called.get(name, ())
        comments = {"pull-requests": "write"}
        reads = {"contents": "read"} | ({"id-token": "write"} if logs_in else {})
        assert job["permissions"] == (comments if name == "comment" else reads), name
        assert job["timeout-minutes"] <= 15
        changes = "registrar-apply" in called.get(name, ())
        assert ("environment" in job) == ("concurrency" in job) == changes, name
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step.get("uses", "actions/x@" + 40 * "0"))
            assert "${{" not in step.get("run", ""), "what a title or a branch is called must not become a command"
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False
    assert not any("checkout" in step.get("uses", "") for step in workflow["jobs"]["comment"]["steps"])
    groups = [job["concurrency"] for job in workflow["jobs"].values() if "concurrency" in job]
    assert groups == [{"group": f"registrar-{name}", "cancel-in-progress": False} for name in ("apply", "rotate")]
    assert "secrets." not in (SCAFFOLD / "github" / FILES["github"]).read_text()


def test_a_job_of_gitlab_that_changes_something_is_alone_and_in_the_environment() -> None:
    found, called = jobs(document("gitlab")), commands("gitlab")
    for name, job in found.items():
        changes = "registrar-apply" in called.get(name, ())
        assert job.get("resource_group") == job.get("environment") == ("registrar" if changes else None), name
        assert ("id_tokens" in job) == ("--vault-role" in called.get(name, ())), name
    assert document("gitlab")["default"]["timeout"] == "15 minutes"


def test_the_runner_reads_rules_as_gitlab_does() -> None:
    variables = {"A": "x", "B": "x", "EMPTY": ""}
    for expression, expected in (
        ('$A == "x"', True),
        ('$A != "x"', False),
        ("$A == $B", True),
        ("$A == $NONE", False),
        ("$EMPTY", False),
        ("$A && $NONE", False),
        ('$A && $B == "x"', True),
    ):
        assert true(expression, variables) is expected, expression
    with pytest.raises(AssertionError, match="not played"):
        true("$A =~ /x/", variables)
    assert when([{"if": "$NONE"}, {"if": "$A", "when": "manual"}], variables) == "manual"
    assert when([{"if": "$NONE"}], variables) == "never"
    with pytest.raises(AssertionError, match="refuses"):
        dotenv("A=1\n\nB=2\n")


# ── job by job ────────────────────────────────────────────────────────────────────────────────────────────────────────


def roles_of(forge: str) -> dict[str, Json]:
    """The roles that PIPELINE.md makes, by their names."""
    text = (SCAFFOLD / forge / "PIPELINE.md").read_text()
    found = re.findall(r"^vault write auth/jwt/role/(\S+) - <<'END'\n(.*?)^END$", text, re.MULTILINE | re.DOTALL)
    return {name: json.loads(body) for name, body in found}


def claims(token: str) -> Json:
    payload = token.split(".")[1]
    found: Json = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def bound(role: Json, token: Json) -> bool:
    """Whether Vault gives a job of these claims the role."""
    within = {name: one if isinstance(one, list) else [one] for name, one in role["bound_claims"].items()}
    return token["aud"] in role["bound_audiences"] and all(token.get(name) in ones for name, ones in within.items())


@dataclass
class World:
    """A project whose repository was written by `init`, with both services and the door of Vault."""

    program: Program
    services: Services
    project: Project
    logins: list[tuple[str, bool]] = field(default_factory=list)
    """The role that was asked for, and whether it was given."""

    def opens(self, _: Proxy, exchange: Exchange) -> Answer:
        asked = json.loads(exchange.body)
        role = roles_of("gitlab").get(asked["role"])
        given = role is not None and bound(role, claims(asked["jwt"]))
        self.logins.append((asked["role"], given))
        if not role or not given:
            return Answer(400, b'{"errors": ["error validating claims: claim does not match"]}')
        body = {"policies": role["token_policies"], "ttl": role["token_ttl"]}
        token = self.services.root.raw_token(body)[1].reveal()
        auth = {"client_token": token, "accessor": "a", "policies": [], "lease_duration": 1200, "renewable": True}
        return Answer(200, json.dumps({"auth": {**auth, "mfa_requirement": None}, "data": None}).encode())

    def names(self) -> list[str]:
        """The applications that are registered and alive, by their names."""
        return sorted(found["name"] for found in self.services.registered(archived=False))

    def commits(self, branch: str, name: str, content: str) -> None:
        """This file on a branch, from where main is, and the branch on the remote."""
        git(self.program.folder, "checkout", "--quiet", "-B", branch, "main")
        self.program.write(name, content)
        git(self.program.folder, "add", "--all")
        git(self.program.folder, "commit", "--quiet", "--message", branch)
        git(self.program.folder, "push", "--quiet", "--force", "origin", branch)
        git(self.program.folder, "checkout", "--quiet", "main")


@pytest.fixture
def world(program: Program, services: Services, tmp_path: Path) -> Iterator[World]:
    assert services.nexus and services.vault
    for words in (("init", "repo", "."), ("init", "ci", "gitlab")):
        assert program.call(*words).code == 0
    settings = program.folder / "registrar.yaml"
    text = settings.read_text().replace("https://nexus.example.gov", services.nexus.url)
    settings.write_text(text.replace("vault_addr: https://vault.example.gov:8200", f"vault_addr: {services.vault.url}"))
    account = services.running.sysadmin
    key = {"api_key": account.api_key, "api_secret": account.api_secret}
    services.root.do("POST", "secret/data/registrar/nexus", {"data": key})
    guide = (program.folder / "PIPELINE.md").read_text()
    for words, name in re.findall(r"^registrar (policy .+) \| vault policy write (\S+) -$", guide, re.MULTILINE):
        policy = program.call(*words.split()).out
        services.root.do("POST", f"sys/policies/acl/{name}", {"policy": policy})
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    for line in ("init --quiet", "remote add origin ../remote.git", "checkout --quiet -b main", "add --all"):
        git(program.folder, *line.split())
    git(program.folder, "commit", "--quiet", "--message", "Begin")
    git(program.folder, "push", "--quiet", "origin", "main")
    found = World(program, services, Project(tmp_path / "remote.git", tmp_path / "runner"))
    services.vault.on("POST", "^/v1/auth/jwt/login$", found.opens, times=99)
    yield found


untrusted = pytest.mark.skipif(
    "--untrusted" not in {option for parameter in plan.params for option in parameter.opts},
    reason="this registrar has no --untrusted",
)
SECRETS = re.compile("NEXUS_(TOKEN|API_KEY|API_SECRET)|VAULT_TOKEN|SECRET_ID|PASSWORD")


@untrusted
def test_a_merge_request_is_reviewed_without_a_key_for_nexus(world: World) -> None:
    world.commits("team", "manifests/team.yaml", TWO)
    pipeline = world.project.merge_request("team")
    assert pipeline.jobs == {"validate": "on_success", "plan": "on_success"}
    checked = pipeline.run("validate")
    assert (checked.result.code, checked.result.out) == (0, "3 applications in 2 files: valid\n"), checked.result
    planned = pipeline.run("plan")
    assert planned.result.code == 0, planned.result
    shown = planned.files["plan.md"].decode()
    assert planned.result.out == shown
    created = set(re.findall(r"^\| create \| ([^|]+) \|", shown, re.MULTILINE))
    assert created == {"Example Application", "Digital Twin Viewer", "Sensor Catalogue"}, shown
    assert VIEWER_URI in shown
    assert "Digest" not in shown, "nobody could apply a plan that has not seen Nexus"
    for job in pipeline.ran.values():
        assert [name for name in job.environ if SECRETS.search(name)] == []
    assert world.logins == [("registrar-plan", True)]
    assert world.services.nexus and world.services.nexus.seen == []
    assert world.services.vault
    read = [one.path for one in world.services.vault.seen if re.search("/(data|login)", one.path)]
    assert read == ["/v1/auth/jwt/login", "/v1/secret/data/nexus/.registrar/lock"], "no secret is even asked for"
    assert world.names() == []


@untrusted
def test_a_branch_gets_no_more_by_asking_for_more(world: World) -> None:
    """Its author wrote the pipeline anew: another role, an environment, Nexus, another address in registrar.yaml."""
    ours = (world.program.folder / ".gitlab-ci.yml").read_text()
    settings = (world.program.folder / "registrar.yaml").read_text()
    with listening(lambda _: answer(200, {})) as thief:
        theirs = ours.replace("--vault-role registrar-plan", "--vault-role registrar-apply")
        theirs = theirs.replace("plan:\n  extends: [", "plan:\n  environment: registrar\n  extends: [")
        elsewhere = re.sub("(nexus_url|vault_addr): .*", rf"\1: {thief.url}", settings)
        world.commits("greedy", ".gitlab-ci.yml", theirs)
        world.commits("thief", "registrar.yaml", elsewhere)
        refused = world.project.merge_request("greedy").run("plan").result
        assert (refused.code, refused.out) == (3, ""), refused
        assert world.logins.pop() == ("registrar-apply", False)
        world.commits("curious", ".gitlab-ci.yml", ours.replace("--without-nexus ", ""))
        denied = world.project.merge_request("curious").run("plan").result
        assert (denied.code, denied.out) == (3, ""), denied
        assert "refuses read on secret/data/registrar/nexus" in denied.err, "the key for Nexus is what it may not read"
        assert world.services.nexus and world.services.nexus.seen == []
        honest = world.project.merge_request("thief").run("plan").result
        assert honest.code == 0, honest
        assert thief.connections == 0, "no token went where the branch would have it"


def test_what_was_reviewed_is_applied_once_a_person_releases_it(world: World) -> None:
    pipeline = world.project.push("push")
    assert pipeline.jobs == {"review": "on_success", "apply": "manual"}
    reviewed = pipeline.run("review")
    assert reviewed.result.code == 0, reviewed.result
    assert reviewed.files["plan.txt"].decode() == reviewed.result.out
    assert "+ create   Example Application  example" in reviewed.result.out
    assert reviewed.result.out.splitlines()[-1] == f"Digest: {reviewed.variables['DIGEST']}"
    assert world.names() == [], "nothing happens before"
    applied = pipeline.run("apply")
    assert applied.result.code == 0, applied.result
    assert world.names() == ["Example Application"]
    assert world.services.proves("example", EXAMPLE_URI)
    assert world.logins == [("registrar-review", True), ("registrar-apply", True)]
    for job in pipeline.ran.values():
        assert [name for name in job.environ if SECRETS.search(name)] == []

    again = world.project.push("push")
    assert again.run("review").variables == {"DIGEST": ""}
    nothing = again.run("apply").result
    assert (nothing.code, nothing.out) == (0, "Nothing to apply.\n")
    assert len(world.logins) == 3, "which it knows without a login"


def test_a_world_that_changed_after_the_review_is_refused(world: World) -> None:
    pipeline = world.project.push("push")
    pipeline.run("review")
    by_hand = world.services.by_hand.create({"name": "Example Application", "redirect_uri": EXAMPLE_URI})
    before = world.services.dump()
    refused = pipeline.run("apply").result
    assert refused.code == 6, refused
    assert pipeline.ran["review"].variables["DIGEST"] in refused.err
    assert world.services.dump() == before
    assert by_hand.client_id


def test_every_night_it_looks_for_drift_and_rotates_what_is_old(world: World) -> None:
    world.program.environ |= world.services.environ
    assert world.program.call("apply", "--yes").code == 0
    nightly = world.project.push("schedule")
    assert nightly.jobs == {"drift": "on_success", "rotate": "on_success"}
    assert nightly.run("drift").result.code == 0
    world.services.by_hand.update(world.services.id_of("Example Application"), {"redirect_uri": f"{EXAMPLE_URI}/2"})
    found = world.project.push("schedule").run("drift").result
    assert found.code == 2
    assert "example" in found.out
    rotated = nightly.run("rotate").result
    assert (rotated.code, rotated.out) == (0, "Nothing to rotate: no credential is as old as that.\n"), rotated


# ── the comment ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Notes:
    """The comments of a merge request, as GitLab's API has them."""

    bodies: dict[int, tuple[int, str]]
    """By their ids, the author's id and the text."""
    asked: list[str] = field(default_factory=list)

    def __call__(self, seen: Seen) -> bytes:
        assert seen.headers["private-token"] == "glpat-of-the-project"
        self.asked.append(f"{seen.method} {seen.target.partition('?')[0]}")
        place = "/api/v4/projects/4711/merge_requests/7/notes"
        if seen.target == "/api/v4/user":
            return answer(200, {"id": 3})
        number = max(self.bodies, default=0) + 1
        if seen.method == "GET":
            page = int(seen.target.rpartition("&page=")[2])
            shown = list(self.bodies.items())[(page - 1) * 2 : page * 2]
            return answer(200, [{"id": id_, "author": {"id": by}, "body": body} for id_, (by, body) in shown])
        if seen.method == "PUT":
            number = int(seen.target.removeprefix(f"{place}/"))
        else:
            assert (seen.method, seen.target) == ("POST", place)
        self.bodies[number] = (3, json.loads(seen.body)["body"])
        return answer(200, {"id": number})


def test_the_comment_is_written_once_and_then_anew(world: World) -> None:
    """Not over somebody else's that begins alike, nor over another one of the same author."""
    notes = Notes({1: (9, "<!-- registrar plan -->\nnot ours"), 2: (3, "ours, but of something else")})
    world.commits("team", "manifests/team.yaml", TWO)
    with listening(notes) as gitlab:
        world.project.variables = {"COMMENT_TOKEN": "glpat-of-the-project", "CI_API_V4_URL": f"{gitlab.url}/api/v4"}
        pipeline = world.project.merge_request("team")
        assert list(pipeline.jobs) == ["validate", "plan", "comment"]
        for again in ("### dev\n", "### dev, after another push, in UTF-8: ä\n"):
            pipeline.ran["plan"] = Job(Result(0, ""), {}, {"plan.md": again.encode()}, {})
            commented = pipeline.run("comment").result
            assert (commented.code, commented.err) == (0, "")
            assert notes.bodies[3] == (3, f"<!-- registrar plan -->\n{again}")
            assert len(notes.bodies) == 3
            pipeline.folder = pipeline.folder.with_name("again")
    assert [line.split()[0] for line in notes.asked if "GET" not in line] == ["POST", "PUT"]


def test_a_comment_that_gitlab_refuses_fails_its_job(tmp_path: Path) -> None:
    plan = tmp_path / "plan.md"
    plan.write_text("plan")
    with listening(lambda _: answer(403, {"message": "403 Forbidden"})) as gitlab:
        done = subprocess.run(
            [str(shim(tmp_path / "bin") / "python3"), str(SCAFFOLD / "gitlab" / ".gitlab" / "comment.py"), str(plan)],
            env={
                "CI_API_V4_URL": gitlab.url,
                "CI_PROJECT_ID": "1",
                "CI_MERGE_REQUEST_IID": "7",
                "COMMENT_TOKEN": "glpat-of-the-project",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "403" in done.stderr
    assert "glpat" not in done.stderr
