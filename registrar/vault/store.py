"""Vault as `reconcile` needs it: credentials, the facts about them, and the run lock.

Owns what is written where. Must never write data without check-and-set, never DELETE, and never let a raw value out.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Unpack

from registrar.errors import Missing, OutcomeUnknown, Rejected, ServiceError, Unsuitable, VersionMismatch
from registrar.model import Credential, Facts, Lock, Record
from registrar.ports import Folder, Stored
from registrar.secret import Secret
from registrar.vault.answers import LOOK_AGAIN, MetadataVersionNeeded
from registrar.vault.login import Login
from registrar.vault.records import Place, record_of, time_of
from registrar.vault.session import Holder, Session
from registrar.vault.wire import Options, Wire

if TYPE_CHECKING:
    from registrar.vault.survey import Survey

# What lists, checks and looks is imported where it is called: whoever fetches one credential needs none of it.

_LEASE_S: Final = 30  # of a lock whose lease nobody can read


class Vault:
    """The credential records below one prefix of one KV v2 mount; safe to share between threads."""

    def __init__(
        self,
        addr: str,
        *,
        token: Secret | Login,
        mount: str = "secret",
        prefix: str = "nexus",
        **options: Unpack[Options],
    ) -> None:
        self._place = Place(mount.strip("/"), prefix.strip("/"))
        self._session = Session(Wire(addr, **options), token)

    def close(self) -> None:
        self._session.close()

    def check(self, paths: Sequence[str], restored: Sequence[str] = ()) -> None:
        """Raise the first thing that would stop a run over these paths: server, token, mount or policy.

        `restored` are those where a deleted version is to come back.
        """
        from registrar.vault import preflight

        preflight.check(self._session, self._place, paths, restored)

    def holder(self) -> Holder:
        """Who Vault takes us for, and for how long."""
        return self._session.holder()

    def survey(self) -> Survey:
        """What the doctor asks of this Vault."""
        from registrar.vault.survey import Survey

        return Survey(self, self._session, self._place)

    def all(self) -> Folder:
        """Every record from metadata alone; AccessDenied where they may not be listed."""
        from registrar.vault import listing

        return listing.everything(self._session, self._place)

    def one(self, path: str) -> Record:
        """One record from metadata alone; of the kind NONE where nothing is."""
        from registrar.vault import listing

        return listing.one(self._session, self._place.record("metadata", path), path)

    def read(self, path: str, version: int = 0) -> Credential | None:
        """The credential in that version (0: the current one), or None where there is none that can be read."""
        return _credential(self._version(path, version))

    def blank(self, path: str, version: int) -> bool:
        """Whether that version can be read and has no content at all."""
        return self._version(path, version) == {}

    def credential_with_record(self, path: str, version: int = 0) -> tuple[Credential | None, Record]:
        """A credential and the facts about it in one read, for whoever may read this one path's data.

        The record knows the version read only (0: the current one), and not the limits of its key.
        """
        query = {"version": version} if version else {}
        answer = self._session.get(self._place.record("data", path), query)
        metadata = answer.data.get("metadata")
        if metadata is None:
            return None, Record(path, answer.at)
        return _credential(answer.data.get("data")), record_of(path, metadata, answer.at)

    def read_secret(self, path: str) -> dict[str, Secret]:
        """The texts of a secret by its path with mount, of either KV version; Missing where nothing is."""
        from registrar.vault import preflight

        mount = preflight.mount_of(self._session, path)
        if mount.kind != "kv":
            raise Unsuitable(f"{path} is not in a KV mount", hint="set nexus_credentials to the path of a KV secret")
        if mount.version == "2":
            place = Place(mount.path.rstrip("/"), "")
            content = self._session.get(place.record("data", path.removeprefix(mount.path))).data.get("data")
        else:
            content = self._session.get(path, sealed=True).data
        if not content:
            raise Missing(f"there is no secret at {path}", hint="write it with `vault kv put`, or correct the path")
        return {key: value for key, value in content.items() if isinstance(value, Secret)}

    def store(self, path: str, credential: Credential | None, cas: int) -> Stored:
        """Write a credential, or a version without content, if `cas` is the current version: else VersionMismatch."""
        content = {"client_id": credential.client_id, "client_secret": credential.client_secret} if credential else {}
        return self._write(self._place.record("data", path), content, cas)

    def again(self, path: str, cas: int, before: Callable[[], None] = lambda: None) -> Stored:
        """Write version `cas` again as it is, as the next one: a fence or a claim.

        `before` is called once it is read, and raises where it may not be written any more.
        """
        content = self._version(path, cas)
        if content is None:
            if self.one(path).current != cas:
                raise VersionMismatch(f"{path} has another version than {cas} by now", hint=LOOK_AGAIN)
            told = f"version {cas} of {path} cannot be read, so it cannot be written again"
            raise Missing(told, hint=f"registrar show {path}")
        before()
        return self._write(self._place.record("data", path), content, cas)

    def settle(self, path: str, facts: Facts, metadata_version: int | None) -> None:
        """Write the facts and nothing else of the metadata; `metadata_version` guards that where the server can."""
        try:
            self._write_facts(path, facts, metadata_version)
        except MetadataVersionNeeded:
            if metadata_version is not None:
                raise
        else:
            return
        self._write_facts(path, facts, self.one(path).metadata_version or 0)

    def delete_version(self, path: str, version: int) -> None:
        """Delete that version by its number, and see that it is deleted."""
        self._set_deleted(path, version, deleted=True)

    def undelete(self, path: str, version: int) -> None:
        """Bring that version back, and see that it is; Rejected where it is destroyed."""
        self._set_deleted(path, version, deleted=False)

    def lock(self) -> Lock | None:
        """The run lock as it is now, or None where there never was one.

        A deleted one still has its version, which the next write has to name.
        """
        data = self._session.get(self._place.lock).data
        if "metadata" not in data:
            return None
        content = data.get("data") or {}
        texts = {key: value.reveal() for key, value in content.items() if isinstance(value, Secret)}
        return Lock(
            version=data["metadata"]["version"],
            domain=texts.get("domain", ""),
            run=texts.get("run", ""),
            holder=texts.get("holder", ""),
            lease_s=_lease(texts.get("lease", content.get("lease"))),
        )

    def write_lock(self, lock: Lock) -> Lock:
        """Write the lock if `lock.version` is still the current one; the answer has the new version."""
        texts = {"domain": lock.domain, "run": lock.run, "holder": lock.holder, "lease": str(lock.lease_s)}
        content = {key: text for key, text in texts.items() if text}
        # an answer that takes as long as the lease would cost it
        soon = lock.lease_s / 4
        return replace(lock, version=self._write(self._place.lock, content, lock.version, timeout_s=soon).version)

    def _version(self, path: str, version: int) -> Mapping[str, Any] | None:
        """The content of a version with its texts wrapped; None where it is deleted, destroyed, gone or never was."""
        query = {"version": version} if version else {}
        content: Mapping[str, Any] | None = self._session.get(self._place.record("data", path), query).data.get("data")
        return content

    def _write(self, at: str, content: Mapping[str, Any], cas: int, *, timeout_s: float | None = None) -> Stored:
        # a cas that is misspelt, misplaced or missing guards nothing, so what is no number may not get there
        body = {"data": content, "options": {"cas": operator.index(cas)}}
        made = self._session.post(at, body, timeout_s=timeout_s).data
        try:
            return Stored(int(made["version"]), time_of(made["created_time"]))
        except (KeyError, TypeError, ValueError):
            pass
        raise OutcomeUnknown(f"Vault's answer to a write of {at} does not name the version it made", hint=LOOK_AGAIN)

    def _write_facts(self, path: str, facts: Facts, metadata_version: int | None) -> None:
        # alone: whatever else were sent, as hvac does with delete_version_after, would replace the operator's choice
        body: dict[str, Any] = {"custom_metadata": facts.metadata()}
        if metadata_version is not None:
            body["metadata_cas"] = metadata_version
        self._session.post(self._place.record("metadata", path), body)

    def _set_deleted(self, path: str, version: int, *, deleted: bool) -> None:
        verb = "delete" if deleted else "undelete"
        self._session.post(self._place.record(verb, path), {"versions": [version]})
        try:
            record = self.one(path)  # Vault answers 204 whatever is there
        except ServiceError as error:
            unseen = error.message
        else:
            if record.version(version) is None:
                raise Missing(f"{path} has no version {version} to {verb}", hint=f"registrar show {path}")
            if record.deleted(version) is not deleted:
                raise Rejected(f"Vault did not {verb} version {version} of {path}", hint=f"registrar show {path}")
            return
        told = f"Vault was told to {verb} version {version} of {path}, and cannot be asked: {unseen}"
        raise OutcomeUnknown(told, hint=LOOK_AGAIN)


def _credential(content: Mapping[str, Any] | None) -> Credential | None:
    client_id, client_secret = ((content or {}).get(key) for key in ("client_id", "client_secret"))
    if isinstance(client_id, Secret) and isinstance(client_secret, Secret) and client_id and client_secret:
        return Credential(client_id.reveal(), client_secret)
    return None


def _lease(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return _LEASE_S
