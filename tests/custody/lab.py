"""A laboratory for custody: a Nexus and a Vault over sockets, registrar between them, and the hands of strangers."""

from __future__ import annotations

import dataclasses
import functools
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from registrar import lock, ports, reconcile, report
from registrar import plan as planning
from registrar.errors import Kept
from registrar.model import Application, Credential, Facts, Mark, Record, Registered, Target
from registrar.nexus import Nexus
from registrar.oauth import QuietProof
from registrar.secret import Secret
from registrar.steps import Step
from registrar.vault import Vault
from registrar.world import World
from tests import web
from tests.custody.proxy import Proxy

VIEWER = Application(
    path="viewer",
    name="Viewer",
    redirect_uri="https://viewer.example.org/oauth/callback",
    base_url="https://viewer.example.org",
    owner_email="team@example.org",
    description="3-D viewer",
)
DOMAIN = "d" * 16
DEAD_RUN = "r" * 16
PACE = reconcile.Pace(parallelism=4, doubt_s=0.3, poll_s=0.05)


class Lab:
    """Both services behind proxies; `nexus` and `vault` are registrar's clients, everything else is a stranger."""

    def __init__(
        self, nexus_url: str, key: tuple[str, str], vault_addr: str, vault_token: str, prefix: str = "nexus"
    ) -> None:
        self.nexus_proxy, self.vault_proxy = Proxy(nexus_url), Proxy(vault_addr)
        api_key, api_secret = (Secret(text) for text in key)
        self.nexus = Nexus(self.nexus_proxy.url, api_key=api_key, api_secret=api_secret, timeout_s=5)
        self.vault = Vault(self.vault_proxy.url, token=Secret(vault_token), prefix=prefix, timeout_s=5)
        self.proof = QuietProof(self.nexus_proxy.url, timeout_s=5)
        # the stranger's own way in, past the proxies
        self.by_hand = Nexus(nexus_url, api_key=api_key, api_secret=api_secret)
        self._http = web.client(base_url=f"{vault_addr}/v1/secret", headers={"X-Vault-Token": vault_token})
        self._prefix = prefix
        self.target = Target("test", nexus_url, nexus_url, vault_addr, vault_prefix=prefix, set="tests")
        self.services = ports.Services(self.nexus, self.vault, self.proof)
        # of a process that is to work here; where that is stands in its registrar.yaml
        self.environ = {"NEXUS_API_KEY": key[0], "NEXUS_API_SECRET": key[1], "VAULT_TOKEN": vault_token}
        self.strangers: dict[str, Credential] = {}  # by name: applications that stay in every world
        self.metadata_cas = True  # of OpenBao; without, facts of a dead run land whenever they come, as on Vault
        self._kept: set[str] = set()  # since Nexus does not delete them

    def fresh(self) -> None:
        """A new world without new servers: another prefix in Vault, and nothing but strangers in Nexus."""
        self.vault.close()
        stay = self._kept | {stranger.client_id for stranger in self.strangers.values()}
        for proxy in (self.nexus_proxy, self.vault_proxy):
            proxy.clear()
        for registered in self.registered():
            if registered.client_id in stay:
                continue
            if registered.archived:
                self.by_hand.unarchive(registered.id)
            try:
                self.by_hand.delete(registered.id)
            except Kept:
                self.by_hand.archive(registered.id)
                self._kept.add(registered.client_id)
        self._prefix = f"t-{secrets.token_hex(4)}"
        token = Secret(self._http.headers["X-Vault-Token"])
        self.vault = Vault(self.vault_proxy.url, token=token, prefix=self._prefix, timeout_s=5)
        self.target = dataclasses.replace(self.target, vault_prefix=self._prefix)
        self.services = ports.Services(self.nexus, self.vault, self.proof)

    def close(self) -> None:
        for thing in (self.nexus, self.vault, self.proof, self.by_hand, self._http, self.nexus_proxy, self.vault_proxy):
            thing.close()

    # -- registrar -----------------------------------------------------------------------------------------------------

    def observe(self, *desired: Application) -> World:
        return reconcile.observe(self.target, desired, self.nexus, self.vault)

    def plan(self, *desired: Application, **options: Any) -> planning.Plan:
        return planning.plan(self.observe(*desired), planning.Options(**options))

    def step(self, *desired: Application, **options: Any) -> Step:
        """The only step of a plan."""
        (step,) = self.plan(*desired, **options).steps
        return step

    def take_lock(self, lease_s: int = 30) -> lock.Lease:
        return lock.take(self.vault, holder="the test", domain=lambda: "", timeout_s=5, lease_s=lease_s)

    def apply(
        self,
        *desired: Application,
        options: planning.Options = planning.Options(),  # noqa: B008 (frozen)
        **how: Any,
    ) -> report.Report:
        return self.carry_out(functools.partial(planning.plan, options=options), *desired, **how)

    def carry_out(
        self,
        decide: Callable[[World], planning.Plan],
        *desired: Application,
        on_event: Callable[[report.Event], None] | None = None,
        stop: report.Stop | None = None,
        preflight: bool = True,
        credentials: Mapping[str, Credential] | None = None,
    ) -> report.Report:
        """What a person asks for by name, as a command carries it out."""
        with self.take_lock() as lease:
            world = self.observe(*desired)
            todo = decide(world)
            if preflight:
                reconcile.preflight(todo, world, self.services)
            run = reconcile.Run(
                world, self.services, lease, on_event=on_event, stop=stop, pace=PACE, credentials=credentials
            )
            return reconcile.apply(run, todo, decide)

    # -- what is there -------------------------------------------------------------------------------------------------

    def registered(self) -> tuple[Registered, ...]:
        return self.by_hand.all()

    def living(self) -> list[str]:
        return [r.client_id for r in self.registered() if not r.archived]

    def record(self, path: str = "viewer") -> Record:
        return self.vault.one(path)

    def stored(self, path: str = "viewer") -> Credential | None:
        return self.vault.read(path)

    def proves(self, application: Application = VIEWER) -> bool:
        stored = self.stored(application.path)
        return stored is not None and self.proof.prove(stored, application.redirect_uri) is ports.Verdict.RIGHT

    def assert_whole(self, *desired: Application) -> None:
        """Each application has one registration, finished, stored, described and proven; nothing is left over."""
        todo = self.plan(*desired)
        assert [step.operation for step in todo.steps] == ["keep"] * len(desired), todo.steps
        world = self.observe(*desired)
        assert not world.marked
        for application in desired:
            assert self.proves(application), application.name
            facts = self.record(application.path).facts
            assert facts
            assert [r.client_id for r in self.registered() if r.name == application.name and not r.archived] == [
                facts.client_id
            ]

    # -- strangers and dead runs ---------------------------------------------------------------------------------------

    def register(self, application: Application = VIEWER, **changes: str) -> Credential:
        """By hand, as on the Site Management page."""
        return self.by_hand.create({**application.declared(), **changes})

    def sign_in(self, held: Credential, redirect_uri: str = VIEWER.redirect_uri) -> None:
        """A user signs in through the application, which has issued a token from then on."""
        ours = {"client_id": held.client_id, "redirect_uri": redirect_uri, "state": "a state"}
        token = self.by_hand._session._token()
        assert token
        with web.client(base_url=f"{self.target.nexus_url}/api/v2/oauth") as browser:
            browser.headers["Authorization"] = f"Bearer {token.reveal()}"
            found = browser.get("/authorize", params=ours)
            code = httpx.URL(found.headers["location"]).params["code"]
            secret = held.client_secret.reveal()
            browser.post("/exchange", params={**ours, "code": code, "client_secret": secret}).raise_for_status()

    def half_make(self, path: str = "viewer", run: str = DEAD_RUN, domain: str = "") -> Credential:
        """What a run leaves that stops right after its create."""
        mark = Mark(domain or self.domain(), run, path)
        application = dataclasses.replace(VIEWER, path=path, name=path.title(), description=str(mark))
        return self.by_hand.create(application.declared())

    def domain(self) -> str:
        """The prefix's domain, made up by a run that did nothing."""
        with self.take_lock() as lease:
            return lease.domain

    def id_of(self, client_id: str) -> int:
        return next(r.id for r in self.registered() if r.client_id == client_id)

    def write(self, data: Mapping[str, str], path: str = "viewer", cas: int | None = None) -> int:
        """A version by hand."""
        options = {} if cas is None else {"cas": cas}
        answer = self._http.post(f"/data/{self._prefix}/{path}", json={"data": dict(data), "options": options})
        answer.raise_for_status()
        return int(answer.json()["data"]["version"])

    def write_credential(self, credential: Credential, path: str = "viewer") -> int:
        return self.write({"client_id": credential.client_id, "client_secret": credential.client_secret.reveal()}, path)

    def version_call(self, verb: str, *versions: int, path: str = "viewer") -> None:
        """delete, undelete or destroy by number."""
        answer = self._http.post(f"/{verb}/{self._prefix}/{path}", json={"versions": list(versions)})
        answer.raise_for_status()

    def set_facts(self, path: str = "viewer", **changes: Any) -> None:
        """Facts as something else would have left them."""
        facts = self.record(path).facts or Facts()
        self.vault.settle(path, dataclasses.replace(facts, **changes), None)

    def read_version(self, number: int, path: str = "viewer") -> dict[str, str] | None:
        answer = self._http.get(f"/data/{self._prefix}/{path}", params={"version": number})
        data = answer.json().get("data") or {}
        content: dict[str, str] | None = data.get("data")
        return content


def renamed(application: Application, path: str) -> Application:
    """Another application like this one."""
    return dataclasses.replace(
        application,
        path=path,
        name=path.title(),
        redirect_uri=f"https://{path}.example.org/oauth/callback",
        base_url=f"https://{path}.example.org",
    )
