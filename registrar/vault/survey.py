"""What the doctor asks of Vault: whether it is fit to keep credentials, and what we may do there. Changes nothing."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from registrar.doctor import SHORT_S, VAULT, Again, Check, Look, counted, life
from registrar.errors import AccessDenied, RegistrarError, ServiceError, Unsuitable
from registrar.policy import Role, grants
from registrar.vault import listing, preflight
from registrar.vault.answers import Call, NoSuchEndpoint, refusal
from registrar.vault.records import Place
from registrar.vault.session import Session

if TYPE_CHECKING:
    from registrar.vault.store import Vault

_HEALTH: Final = Call("GET", "sys/health", {"standbyok": "true", "perfstandbyok": "true"}, rooted=True)
_KEY: Final = ("api_key", "api_secret")
_ANY: Final = "any-record"


@dataclass(frozen=True, slots=True)
class Survey:
    """The questions to one Vault."""

    vault: Vault
    session: Session
    place: Place

    def checks(
        self, look: Look, again: Again, *, login: str, nexus_key: str = "", without: RegistrarError | None = None
    ) -> Iterator[Check]:
        """Every check in turn; `login` is how we get in, `without` why there is nothing to show, told instead.

        `nexus_key` is where the key for Nexus is kept, if here.
        """
        looks = [
            ("address", lambda: self._reached(look)),
            ("identity", lambda: [VAULT.raised("identity", without)] if without else self._identity(login, again)),
            ("mount", self._mount),
            ("records", self._records),
            ("nexus-key", lambda: self._nexus_key(nexus_key) if nexus_key else ()),
        ]
        yield from VAULT.in_turn(looks)

    def lacking(self) -> Mapping[Role, list[str]]:
        """What the policy lacks for the commands of each role."""
        wanted = {role: grants(role, self.place.mount, self.place.prefix, paths=[_ANY]) for role in Role}
        paths = sorted({path for lines in wanted.values() for line in lines for path, _ in line.questions()})
        granted = self.session.ask("sys/capabilities-self", {"paths": paths}).data
        found: dict[Role, list[str]] = {}
        for role, lines in wanted.items():
            found[role] = []
            # HashiCorp Vault has no detailed-metadata, and where it is not granted there is another way
            for line in (line for line in lines if "/detailed-metadata/" not in line.path):
                missing = [
                    right for path, right in line.questions() if not {right, "root"} & set(granted.get(path, ()))
                ]
                if missing:
                    found[role].append(f"{', '.join(missing)} on {line.path.replace(_ANY, '*')}")
        return found

    def _reached(self, look: Look) -> Iterator[Check]:
        """Whether a Vault answers there, and how it is, which it tells everybody."""
        began = time.monotonic()
        health = self.session.anonymous(_HEALTH)
        took_ms = (time.monotonic() - began) * 1000
        if isinstance(health, ServiceError):
            raise health
        # an uninitialised one answers 501, a sealed one 503, both in the same words as a well one
        told = health.body or {}
        if "sealed" not in told:
            hint = "check VAULT_ADDR, and what stands in front of Vault"
            raise refusal(_HEALTH, health) or Unsuitable(f"what answers at {self.session.addr} is not Vault", hint=hint)
        yield VAULT.well("address", f"{self.session.addr} answers in {took_ms:.0f} ms")
        yield from VAULT.certificate(self.session.addr, look)
        yield from VAULT.clock(health.date, datetime.now(UTC), affects="which does no harm here: Vault's own counts")
        yield _server(told)

    def _identity(self, login: str, again: Again) -> Iterator[Check]:
        """Who we are, and for how long."""
        holder = self.session.holder()
        policies = ", ".join(holder.policies) or "none"
        who = f"signed in by {login} as {holder.name or 'nobody named'}, policies {policies}"
        if "root" in holder.policies:
            yield VAULT.warning("identity", f"{who}: may do everything, runs included", again.token(Role.APPLIER))
        else:
            yield VAULT.well("identity", who)
        if holder.uses:
            text = f"may be used {counted(holder.uses, 'more time')}, and a run needs a request for every step"
            yield VAULT.warning("uses", text, "use a token without a limit of uses")
        if holder.life_s is None:
            yield VAULT.well("token", "has no end")
        elif holder.life_s < SHORT_S and not holder.renewable:
            text = f"ends in {life(holder.life_s)}, and cannot be renewed"
            yield VAULT.warning("token", text, "vault login, or a longer life for the tokens of the role")
        else:
            renewed = ", and is renewed while a run lasts" if holder.renewable else ", and cannot be renewed"
            yield VAULT.well("token", f"ends in {life(holder.life_s)}{renewed}")

    def _mount(self) -> Iterator[Check]:
        """Whether the mount keeps what is written there."""
        mount = self.place.mount
        try:
            preflight.require_v2(self.session, self.place)
        except AccessDenied as error:
            hint = f"where there is none: vault secrets enable -path={shlex.quote(mount)} -version=2 kv"
            yield VAULT.failed("mount", error.message, hint)
            return
        except Unsuitable as error:
            other = shlex.quote(f"{mount.replace('/', '-')}-v2")
            hint = f"vault secrets enable -path={other} -version=2 kv, then --vault-mount {other}"
            yield VAULT.failed("mount", error.message, hint)
            return
        try:
            preflight.check_mount(self.session, self.place)
            config = self.session.get(f"{mount}/config").data
        except AccessDenied:  # a planner may not see how the mount is set
            yield VAULT.well("mount", f"{mount} is KV version 2; how it is set is not ours to see")
            return
        yield VAULT.well("mount", f"{mount} is KV version 2{_kept(config)}")

    def _records(self) -> Iterator[Check]:
        """How many there are, and whether a run is at work; nothing for whoever may see neither."""
        folder = f"{self.place.mount}/{self.place.prefix}"
        try:
            found = len(listing.everything(self.session, self.place).records)
        except AccessDenied:
            return
        told = (
            f"{counted(found, 'record')} below {folder}, listed {self._way()}" if found else f"none yet below {folder}"
        )
        yield VAULT.well("records", told)
        try:
            held = self.vault.lock()
        except AccessDenied:
            return
        if held and held.run:
            text = f"held by {held.holder or 'nobody named'}: a run is at work, or has stopped"
            yield VAULT.warning("lock", text, "wait for it; if it is dead: registrar recover")
        else:
            yield VAULT.well("lock", "free: no run is at work")

    def _way(self) -> str:
        try:
            answer = self.session.get(self.place.at("detailed-metadata"), {"list": "true", "limit": 1})
        except NoSuchEndpoint:
            return "key by key (only OpenBao has a quicker way)"
        except AccessDenied:
            return "key by key (no list on detailed-metadata)"
        return "key by key" if answer.nothing else "folder by folder"

    def _nexus_key(self, path: str) -> Iterator[Check]:
        """Whether the key for Nexus can be had; only a warning, since it may be given in another way."""
        try:
            names = sorted(self.vault.read_secret(path))
        except RegistrarError as error:
            yield VAULT.warning("nexus-key", error.message, error.hint)
            return
        missing = [name for name in _KEY if name not in names]
        if missing:
            text = f"{path} has no {' and no '.join(missing)}"
            yield VAULT.warning("nexus-key", text, f"vault kv patch {shlex.quote(path)} {missing[0]}=-")
        else:
            yield VAULT.well("nexus-key", f"{path} has {', '.join(names)}")


def _server(told: Mapping[str, Any]) -> Check:
    version = f"version {told.get('version', 'unknown')}"
    if told.get("initialized") is False:
        return VAULT.failed("server", f"{version}, not initialised", "vault operator init")
    if told.get("sealed"):
        return VAULT.failed("server", f"{version}, sealed", "vault operator unseal")
    if told.get("standby") or told.get("performance_standby"):
        text = f"{version}, unsealed, a standby: what it answers may be a moment old"
        return VAULT.warning("server", text, "name the active node in VAULT_ADDR: vault operator members")
    return VAULT.well("server", f"{version}, unsealed, active")


def _kept(config: Mapping[str, Any]) -> str:
    """How a mount is set, as far as it is worth knowing."""
    versions = config.get("max_versions") or "10"  # what 0 means to Vault
    wanted = [name for name in ("cas_required", "metadata_cas_required") if config.get(name)]
    return "".join([f", keeps {versions} versions", *(f", {name}" for name in wanted)])
