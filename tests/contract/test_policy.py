"""The policies of `registrar policy`: enough for all that a role does, and too little without any one right."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from registrar.errors import ServiceError
from registrar.model import Credential, Facts, Lock
from registrar.policy import Grant, Role, grants, hcl
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import TWO
from tests.cli.program import Program
from tests.cli.services import serving
from tests.contract.vaults import KINDS, Server, running

CREDENTIAL = Credential("c1", Secret("canary-secret-one"))
KEY = "secret/registrar/nexus-dev"


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(request.param, tmp_path_factory.mktemp("vault")) as running_server:
        yield running_server


@pytest.fixture
def prefix(server: Server) -> str:
    """A fresh one, with a settled record at `viewer` and a lock, and another team's record beside it."""
    name = f"nexus-{secrets.token_hex(4)}"
    for folder in (name, f"{name}-other"):
        with contextlib.closing(server.client(prefix=folder)) as root:
            root.store("viewer", CREDENTIAL, 0)
            root.settle("viewer", Facts(client_id="c1", version=1), None)
            root.write_lock(Lock(0, "d" * 16))
    server.do("POST", "secret/data/registrar/nexus-dev", {"data": {"api_key": "k", "api_secret": "s"}})
    return name


@dataclass
class Holder:
    """Somebody with a policy and nothing else, who tries what the role has to do, or must not."""

    server: Server
    prefix: str
    token: Secret
    vault: Vault
    asked: list[str] = field(default_factory=list)

    def answers(self, method: str, path: str, body: object = None) -> bool:
        """Whether Vault lets the token do this."""
        return replace(self.server, root=self.token).call(method, path, body)[0] in {200, 204}


@contextlib.contextmanager
def holding(server: Server, prefix: str, lines: tuple[Grant, ...]) -> Iterator[Holder]:
    asked: list[str] = []
    token = server.token(hcl(lines), prefix)
    trace = lambda method, path, status, _ms: asked.append(f"{method} {path} {status}")  # noqa: E731
    with contextlib.closing(server.client(token, prefix, trace=trace)) as vault:
        yield Holder(server, prefix, token, vault, asked)


Trial = Callable[[Holder], object]


def settles(holder: Holder) -> bool:
    holder.vault.settle("viewer", Facts(client_id="c1", version=1), None)
    return True


def settles_before_there_is_data(holder: Holder) -> bool:
    holder.vault.settle("empty", Facts(client_id="c1"), None)
    return True


def begins(holder: Holder) -> bool:
    holder.vault.check(["viewer", "new"])
    return True


def stores_claims_and_reads(holder: Holder) -> bool:
    holder.vault.store("new", CREDENTIAL, 0)
    holder.vault.again("new", 1)
    return holder.vault.read("new") == CREDENTIAL


def deletes_and_brings_back(holder: Holder) -> bool:
    current = holder.vault.one("viewer").current
    holder.vault.delete_version("viewer", current)
    holder.vault.undelete("viewer", current)
    return holder.vault.read("viewer") == CREDENTIAL


def lists_in_one_answer(holder: Holder) -> bool:
    """HashiCorp Vault has no detailed-metadata, where the line is idle."""
    found = [record.path for record in holder.vault.all().records]
    at_once = any("/detailed-metadata/" in line and line.endswith(" 200") for line in holder.asked)
    has_it = holder.server.call("GET", f"secret/detailed-metadata/{holder.prefix}?list=true")[0] == 200
    return "viewer" in found and at_once is has_it


def lists_key_by_key(holder: Holder) -> bool:
    return holder.answers("GET", f"secret/metadata/{holder.prefix}/?list=true")


def cannot_delete_the_lock(holder: Holder) -> bool:
    return not holder.answers("POST", f"secret/delete/{holder.prefix}/.registrar/lock", {"versions": [1]})


TRIALS: dict[Role, dict[str, Trial]] = {
    Role.PLANNER: {
        "look itself up": lambda holder: holder.answers("GET", "auth/token/lookup-self"),
        "ask what it may do": lambda holder: holder.answers("POST", "sys/capabilities-self", {"paths": ["x"]}),
        "list in one answer": lists_in_one_answer,
        "list key by key": lists_key_by_key,
        "see one record": lambda holder: holder.vault.one("viewer").facts,
        "see the lock": lambda holder: holder.vault.lock(),
        "read the key for Nexus": lambda holder: holder.vault.read_secret(KEY)["api_key"],
    },
    Role.APPLIER: {
        "begin a run": begins,
        "renew its token": lambda holder: holder.answers("POST", "auth/token/renew-self", {}),
        "list in one answer": lists_in_one_answer,
        "list key by key": lists_key_by_key,
        "see one record": lambda holder: holder.vault.one("viewer").facts,
        "store, claim and read": stores_claims_and_reads,
        "settle": settles,
        "settle before there is data": settles_before_there_is_data,
        "delete and bring back": deletes_and_brings_back,
        "take the lock": lambda holder: holder.vault.write_lock(replace(holder.vault.lock() or Lock(0, ""), run="r")),
        "not delete the lock": cannot_delete_the_lock,
        "read the key for Nexus": lambda holder: holder.vault.read_secret(KEY)["api_key"],
    },
    Role.DEVELOPER: {
        "look itself up": lambda holder: holder.answers("GET", "auth/token/lookup-self"),
        "fetch the credential with its facts": lambda holder: all(holder.vault.credential_with_record("viewer")),
    },
}


def policy(role: Role, prefix: str) -> tuple[Grant, ...]:
    key = "" if role is Role.DEVELOPER else KEY
    return grants(role, "secret", prefix, paths=["viewer"] if role is Role.DEVELOPER else [], nexus_key=key)


def failing(holder: Holder, role: Role) -> set[str]:
    """What the role has to do and cannot."""

    def works(trial: Trial) -> bool:
        holder.asked.clear()
        try:
            return bool(trial(holder))
        except ServiceError:
            return False

    return {name for name, trial in TRIALS[role].items() if not works(trial)}


@pytest.mark.parametrize("role", Role)
def test_it_is_enough(server: Server, prefix: str, role: Role) -> None:
    with holding(server, prefix, policy(role, prefix)) as holder:
        assert failing(holder, role) == set()


RIGHTS = [
    pytest.param(role, index, capability, id=f"{role} without {capability} on {grant.path}")
    for role in Role
    for index, grant in enumerate(policy(role, "PREFIX"))
    for capability in grant.capabilities
]


@pytest.mark.parametrize(("role", "index", "capability"), RIGHTS)
def test_without_any_one_right_something_fails(
    server: Server, prefix: str, role: Role, index: int, capability: str
) -> None:
    lines = list(policy(role, prefix))
    if "detailed-metadata" in lines[index].path and server.kind.startswith("vault"):
        pytest.skip("HashiCorp Vault has no detailed-metadata, so that nothing fails without it")
    left = tuple(right for right in lines[index].capabilities if right != capability)
    lines[index : index + 1] = [replace(lines[index], capabilities=left)] if left else []
    with holding(server, prefix, tuple(lines)) as holder:
        assert failing(holder, role)


FORBIDDEN: dict[Role, dict[str, tuple[str, str, object]]] = {
    Role.PLANNER: {
        "a secret": ("GET", "secret/data/PREFIX/viewer", None),
        "a version of one": ("GET", "secret/data/PREFIX/viewer?version=1", None),
        "the keys in one": ("GET", "secret/subkeys/PREFIX/viewer", None),
        "a write": ("POST", "secret/data/PREFIX/viewer", {"data": {}}),
        "a new record": ("POST", "secret/data/PREFIX/new", {"data": {}}),
        "facts": ("POST", "secret/metadata/PREFIX/viewer", {"custom_metadata": {}}),
        "the lock": ("POST", "secret/data/PREFIX/.registrar/lock", {"data": {}}),
        "a renewal": ("POST", "auth/token/renew-self", {}),
        "another prefix": ("GET", "secret/metadata/PREFIX-other/viewer", None),
    },
    Role.APPLIER: {
        "DELETE of data": ("DELETE", "secret/data/PREFIX/viewer", None),
        "DELETE of everything": ("DELETE", "secret/metadata/PREFIX/viewer", None),
        "destroy": ("POST", "secret/destroy/PREFIX/viewer", {"versions": [1]}),
        "DELETE of the lock": ("DELETE", "secret/data/PREFIX/.registrar/lock", None),
        "another prefix": ("GET", "secret/data/PREFIX-other/viewer", None),
        "the mount": ("POST", "secret/config", {"max_versions": 1}),
    },
    Role.DEVELOPER: {
        "a list": ("GET", "secret/metadata/PREFIX/?list=true", None),
        "another record": ("GET", "secret/data/PREFIX/other", None),
        "the lock": ("GET", "secret/data/PREFIX/.registrar/lock", None),
        "a write": ("POST", "secret/data/PREFIX/viewer", {"data": {}}),
        "the key for Nexus": ("GET", "secret/data/registrar/nexus-dev", None),
    },
}


@pytest.mark.parametrize("role", Role)
def test_nothing_else_is_given(server: Server, prefix: str, role: Role) -> None:
    lines = grants(role, "secret", prefix, paths=["viewer"])
    with holding(server, prefix, lines) as holder:
        for what, (method, path, body) in FORBIDDEN[role].items():
            assert not holder.answers(method, path.replace("PREFIX", prefix), body), what


@pytest.mark.parametrize("role", [Role.PLANNER, Role.APPLIER])
def test_without_nexus_its_key_is_out_of_reach(server: Server, prefix: str, role: Role) -> None:
    with holding(server, prefix, grants(role, "secret", prefix)) as holder:
        assert not holder.answers("GET", "secret/data/registrar/nexus-dev")


def test_each_role_does_its_work_by_the_command(server: Server, tmp_path: Path) -> None:
    prefix = f"nexus-{secrets.token_hex(4)}"
    with serving() as services:
        environ = services.environ | {"VAULT_ADDR": server.url, "REGISTRAR_VAULT_PREFIX": prefix}
        program = Program(tmp_path, environ | ({"VAULT_CACERT": str(server.authority)} if server.authority else {}))
        program.write("apps.yaml", TWO)

        def become(role: str, *names: str) -> None:
            printed = program.call("policy", "--for", role, *names)
            assert printed.code == 0, printed.err
            program.environ["VAULT_TOKEN"] = server.token(printed.out, prefix).reveal()

        become("planner")
        planned = program.call("plan", "apps.yaml", "--detailed-exitcode")
        assert (planned.code, planned.err) == (2, "")
        refused = program.call("apply", "apps.yaml", "--yes")
        assert refused.code == 3, refused.err
        assert "applier" in refused.err or "create and update" in refused.err

        become("applier")
        assert program.call("apply", "apps.yaml", "--yes").code == 0
        program.write("apps.yaml", TWO.replace("3-D viewer", "4-D viewer"))
        assert program.call("apply", "apps.yaml", "--yes").code == 0
        assert program.call("recover", "apps.yaml", "--yes").code == 0

        become("planner")
        assert program.call("plan", "apps.yaml", "--detailed-exitcode").code == 0
        assert program.call("status", "--manifests", "apps.yaml", "--detailed-exitcode").code == 0
        assert program.call("creds", "get", "viewer").code == 3

        become("developer", "viewer")
        fetched = program.call("creds", "get", "viewer")
        assert fetched.code == 0, fetched.err
        assert "client_secret" in fetched.out
        assert program.call("creds", "get", "sensor-catalogue").code == 3


PLANNING = (
    ("plan", "apps.yaml"),
    ("plan", "apps.yaml", "--without-nexus"),
    ("plan", "apps.yaml", "--out", "plan.json", "--force"),
    ("plan", "apps.yaml", "--untrusted", "-o", "markdown"),
    ("status", "--manifests", "apps.yaml"),
)


def test_a_planner_plans_and_cannot_read_a_secret(server: Server, tmp_path: Path) -> None:
    """What runs for a merge request asks for no data but the lock's, and would get none."""
    prefix = f"nexus-{secrets.token_hex(4)}"
    with serving() as services:
        environ = services.environ | {"VAULT_ADDR": server.url, "REGISTRAR_VAULT_PREFIX": prefix}
        environ |= {"VAULT_TOKEN": server.root.reveal()}
        program = Program(tmp_path, environ | ({"VAULT_CACERT": str(server.authority)} if server.authority else {}))
        program.write("apps.yaml", TWO)
        assert program.call("apply", "apps.yaml", "--yes").code == 0
        program.write("apps.yaml", TWO.replace("3-D viewer", "4-D viewer"))
        with holding(server, prefix, grants(Role.PLANNER, "secret", prefix)) as planner:
            program.environ["VAULT_TOKEN"] = planner.token.reveal()
            for words in PLANNING:
                told = program.call(*words, "-v")
                assert told.code == 0, told.err
                assert "Digital Twin Viewer" in told.out
                asked = [line for line in told.err.splitlines() if "/data/" in line or "/subkeys/" in line]
                assert [line for line in asked if "/.registrar/lock " not in line] == [], words
            for path in ("viewer", "sensor-catalogue"):
                for place in (f"data/{prefix}/{path}", f"data/{prefix}/{path}?version=1", f"subkeys/{prefix}/{path}"):
                    assert planner.answers("GET", f"secret/metadata/{prefix}/{path}")
                    assert not planner.answers("GET", f"secret/{place}"), place
            for words in (("creds", "get", "viewer"), ("verify", "viewer")):
                refused = program.call(*words)
                assert refused.code == 3, refused
                assert refused.out == ""
