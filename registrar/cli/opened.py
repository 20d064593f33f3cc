"""Opened: what the TUI is handed, on this side of the boundary: one target with its services, opened when needed.

Owns when a client is made, lent and closed, and who a person says they are meanwhile. Must never print, ask, or decide:
the terminal belongs to the app.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registrar.cli.connection import Connection, Opening
from registrar.cli.declared import declared, findings_text, validate
from registrar.cli.drafts import Drafts
from registrar.cli.flags import given, leading, offline
from registrar.cli.signed_in import NexusKey, SignedIn, vault_auth
from registrar.config import Need
from registrar.errors import ManifestsInvalid, Stale, UsageError
from registrar.model import Target
from registrar.tui.session import Ask, Checked, Draft, Request, Session

if TYPE_CHECKING:
    import click

    from registrar.config import Settings
    from registrar.doctor import Check
    from registrar.model import Credential, Lock
    from registrar.nexus import Nexus
    from registrar.oauth import QuietProof
    from registrar.plan import Plan
    from registrar.report import Report
    from registrar.secret import Secret
    from registrar.tui.intents import Intent
    from registrar.vault import Vault
    from registrar.verify import Verification
    from registrar.world import World

_LOCK_TIMEOUT_S = 60.0
_NEEDS = (Need.BOTH, Need.NEXUS | Need.PLACE, Need.VAULT, Need.PLACE)


class Opened:
    """A Session over the services that these flags choose, with these manifests or those of registrar.yaml."""

    def __init__(
        self,
        ctx: click.Context,
        flags: Mapping[str, Any],
        paths: tuple[str, ...] = (),
        *,
        on_request: Callable[[Request], None] | None = None,
    ) -> None:
        if "-" in paths:
            raise UsageError("the TUI reads no manifest from standard input", hint="name a file or a folder")
        self.on_request = on_request
        self._ctx = ctx
        self._flags = flags
        self._paths = paths
        self._lock = threading.RLock()
        self._signed_in = SignedIn()
        self._base = Opening(ctx, flags, attended=False)  # has the sandbox, if any
        self._clients: _Clients | None = None
        self._lent = 0
        self._closed = False
        settings = self._known()
        self._target, self._targets = settings.target, settings.targets
        files = [Path(path) for path in paths] or ([settings.manifests] if settings.manifests else [])
        self._drafts = Drafts(files, settings.target, settings.known_targets)

    # ── the target ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def target(self) -> Target:
        return self._target

    @property
    def targets(self) -> tuple[str, ...]:
        return self._targets

    @property
    def flags(self) -> tuple[str, ...]:
        return leading(given(self._ctx, self._flags), "nexus_url", "frontend_url", "vault_addr")

    @property
    def manifests(self) -> tuple[str, ...]:
        return tuple(self._paths)

    def switched(self, name: str) -> Opened:
        return Opened(self._ctx, {**self._flags, "target": name}, self._paths, on_request=self.on_request)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop()

    def _known(self) -> Settings:
        """The settings with as many addresses as are told, none of them asked for."""
        if given(self._ctx, self._flags).get("sandbox"):
            return offline(self._ctx, self._flags)[0]
        for need in _NEEDS[:-1]:
            with contextlib.suppress(UsageError):
                return self._base.settings(need)
        return self._base.settings(_NEEDS[-1])

    # ── what there is ─────────────────────────────────────────────────────────────────────────────────────────────────

    def observe(self) -> World:
        with self._using() as clients:
            return self._observe(clients.connection())

    def credential(self, path: str, version: int = 0) -> Credential | None:
        with self._using() as clients:
            return clients.records(clients.settings(Need.VAULT)).read(path, version)

    def verify(self, names: tuple[str, ...]) -> Verification:
        from registrar import verify as verifying

        with self._using() as clients:
            settings = clients.settings(Need.BOTH)
            records, proof = clients.records(settings), clients.proof(settings)
            return verifying.verify(settings.target, names, records, proof)

    def doctor(self) -> tuple[Check, ...]:
        from registrar.cli.doctor import look

        with self._using() as clients, self._opening() as opening:
            clients.settings(Need.PLACE)  # the sandbox is started by one thread alone
            return look(opening, given(self._ctx, self._flags))[0]

    def _observe(self, connection: Connection) -> World:
        from registrar import reconcile

        loaded = declared(connection.settings, self._paths, optional=True)
        if loaded.errors:
            raise ManifestsInvalid(findings_text(loaded), hint=validate(self._paths))
        return reconcile.observe(connection.target, loaded.applications, connection.nexus, connection.records)

    # ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def carry_out(self, intent: Intent, ask: Ask) -> tuple[Report, Plan]:
        from registrar import plan as planning
        from registrar import reconcile

        prune = "--prune" in intent.words
        if prune and self._paths:
            message = "--prune with a PATH would retire everything that is declared elsewhere"
            raise UsageError(message, hint="start the TUI without PATH: then it reads all manifests of registrar.yaml")
        shown: dict[str, Credential] = {}

        with self._using() as clients:
            connection = clients.connection()

            def review(world: World) -> Plan:
                todo = intent.decide(world)
                if todo.digest != ask.approved:
                    raise Stale("the plan has changed since it was shown", hint="r, to see it anew")
                if intent.braked:
                    planning.brake(
                        todo, allow_replace=ask.allow_replace, allow_breaking=ask.allow_breaking, prune=prune
                    )
                shown.update(_shown(intent, todo, connection.records))
                return todo

            holder = reconcile.Holder(
                connection.holder,
                connection.domain,
                _LOCK_TIMEOUT_S,
                on_wait=lambda held: ask.say(f"Waiting for another run: {_who(held)}"),
                on_stale=lambda dead: ask.say(f"Taking over the lock of a run that has stopped: {_who(dead)}"),
            )
            course = reconcile.Course(lambda _: ask.hear, ask.stop, credentials=shown)
            return reconcile.locked(
                connection.services,
                holder,
                lambda: self._observe(connection),
                review,
                reconcile.recover if intent.recovers else lambda run, todo: reconcile.apply(run, todo, intent.decide),
                course,
            )

    # ── who we are ────────────────────────────────────────────────────────────────────────────────────────────────────

    def sign_in_to_nexus(
        self, *, token: Secret | None = None, key: Secret | None = None, secret: Secret | None = None
    ) -> None:
        self._sign_in(nexus=NexusKey(token, key, secret))

    def sign_in_to_vault(self, method: str, secret: Secret, *, user: str = "", mount: str = "") -> None:
        self._sign_in(vault=vault_auth(method, secret, user, mount))

    def _sign_in(self, **given: Any) -> None:
        with self._lock:
            self._signed_in = self._signed_in._replace(**given)
            self._drop()

    # ── manifests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def files(self) -> tuple[str, ...]:
        return self._drafts.files()

    def draft(self, path: str) -> Draft | None:
        return self._drafts.draft(path)

    def check(self, draft: Draft) -> Checked:
        return self._drafts.check(draft)

    def save(self, draft: Draft) -> Checked:
        return self._drafts.save(draft)

    # ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _opening(self) -> Opening:
        return Opening(
            self._ctx,
            self._flags,
            trace=self._trace,
            attended=False,
            signed_in=self._signed_in,
            within=self._base,
        )

    @contextlib.contextmanager
    def _using(self) -> Iterator[_Clients]:
        """The clients for as long as they are used; those of a login that is over are closed by their last user."""
        with self._lock:
            if self._closed:
                raise UsageError("this target is closed", hint="open it again")
            if self._clients is None:
                self._clients = _Clients(self._opening(), self._lock)
            clients = self._clients
            clients.users += 1
            self._lent += 1
        try:
            yield clients
        finally:
            with self._lock:
                self._target = clients.target or self._target
                clients.users -= 1
                self._lent -= 1
                clients.end()
                self._end()

    def _drop(self) -> None:
        """Use these clients no more."""
        if self._clients:
            self._clients.over = True
            self._clients.end()
            self._clients = None
        self._end()

    def _end(self) -> None:
        if self._closed and not self._lent:
            self._base.close()

    def _trace(self, method: str, path: str, status: int | None, took_ms: float) -> None:
        if self.on_request:
            self.on_request(Request(method, path, status, took_ms))


class _Clients:
    """The clients of one login, each made at its first use; `over` once another login has taken its place."""

    def __init__(self, opening: Opening, lock: threading.RLock) -> None:
        self._opening = opening
        self._lock = lock
        self._records: Vault | None = None
        self._nexus: Nexus | None = None
        self._proof: QuietProof | None = None
        self.users = 0
        self.over = False
        self.target: Target | None = None

    def settings(self, need: Need) -> Settings:
        with self._lock:
            settings = self._opening.settings(need)
            if need is Need.BOTH:
                self.target = settings.target
            return settings

    def records(self, settings: Settings) -> Vault:
        with self._lock:
            self._records = self._records or self._opening.vault(settings)
            return self._records

    def proof(self, settings: Settings) -> QuietProof:
        with self._lock:
            self._proof = self._proof or self._opening.proof(settings)
            return self._proof

    def connection(self) -> Connection:
        """Everything that a change needs."""
        with self._lock:
            settings = self.settings(Need.BOTH)
            records, proof = self.records(settings), self.proof(settings)
            self._nexus = self._nexus or self._opening.nexus(settings, records)
            return Connection(settings, records, self._nexus, proof, colour=False, verbose=False)

    def end(self) -> None:
        """Close them, if they are over and nobody uses them."""
        if self.over and not self.users:
            self._opening.close()


def _shown(intent: Intent, todo: Plan, records: Vault) -> dict[str, Credential]:
    """The credentials by path; one to be adopted that is stored already need not be shown."""
    from registrar.steps import Adopt

    found = dict(intent.credentials)
    for step in todo.steps if intent.adopts else ():
        if isinstance(step, Adopt):
            typed = found.pop(step.path, None) or found.pop(step.name, None)
            held = records.read(step.path)
            if typed and (held is None or held.client_id != step.client_id):
                found[step.path] = typed
    return found


def _who(held: Lock) -> str:
    return held.holder or held.run


def _fits(opened: Opened) -> Session:
    """Checked by the type checker alone."""
    return opened
