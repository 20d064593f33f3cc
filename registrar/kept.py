"""Kept: the Nexus session of the person at this machine, from `registrar login` until it ends or they log out.

Owns where that is: the system's keyring where there is one, else a file that its owner alone can read. Must never keep
a key or a password, nor send anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from registrar import atomic
from registrar.errors import UsageError
from registrar.secret import Secret

_SERVICE: Final = "nexus-registrar"


@dataclass(frozen=True, slots=True)
class Kept:
    """A session at one Nexus; `refresh` and `client_id` are of a device login, which gets new tokens by itself."""

    url: str
    user: str
    token: Secret
    expires_at: datetime | None = None
    refresh: Secret | None = None
    client_id: str = ""

    def ended(self, now: datetime | None = None) -> bool:
        """Whether the token is over by this machine's clock."""
        return self.expires_at is not None and self.expires_at <= (now or datetime.now(UTC))


class Keeper(Protocol):
    """A place that keeps one session for each Nexus; each call raises a UsageError where it does not work."""

    @property
    def name(self) -> str:
        """Where that is, for people."""

    def load(self, url: str) -> Kept | None: ...

    def save(self, session: Kept) -> None: ...

    def forget(self, url: str) -> bool:
        """Whether there was one."""


def keeper(folder: Path) -> Keeper:
    """The system's keyring, or a file in this folder where nothing better is to be had."""
    return _keyring() or File(folder / "nexus-sessions.json")


def _written(session: Kept) -> dict[str, Any]:
    return {
        "user": session.user,
        "token": session.token.reveal(),
        "expires_at": session.expires_at.isoformat() if session.expires_at else None,
        "refresh": session.refresh.reveal() if session.refresh else None,
        "client_id": session.client_id,
    }


def _read(url: str, found: object) -> Kept | None:
    """The session, or None where that is not what `_written` writes."""
    try:
        told: Mapping[str, Any] = found  # type: ignore[assignment]
        return Kept(
            url,
            str(told["user"]),
            Secret(str(told["token"])),
            datetime.fromisoformat(told["expires_at"]) if told["expires_at"] else None,
            Secret(str(told["refresh"])) if told["refresh"] else None,
            str(told["client_id"]),
        )
    except (LookupError, TypeError, ValueError):
        return None


class File:
    """One JSON file with mode 0600; refused while others may read it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return f"{self._path}, which you alone can read"

    def load(self, url: str) -> Kept | None:
        return _read(url, self._all().get(url))

    def save(self, session: Kept) -> None:
        self._write({**self._all(), session.url: _written(session)})

    def forget(self, url: str) -> bool:
        found = self._all()
        if url not in found:
            return False
        self._write({name: kept for name, kept in found.items() if name != url})
        return True

    def _all(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as stream:
                if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o077:
                    raise UsageError(f"others may read {self._path}", hint=f"chmod 600 {self._path}")
                found = json.load(stream)
        except FileNotFoundError:
            return {}
        except ValueError:
            found = None
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}", hint="mend or remove it") from None
        if isinstance(found, dict):
            return found
        raise UsageError(f"{self._path} is not as registrar writes it", hint="remove it, then registrar login")

    def _write(self, sessions: Mapping[str, Any]) -> None:
        hint = "set XDG_STATE_HOME to a folder of yours"
        try:
            if not sessions:
                self._path.unlink()
                return
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic.write(self._path, json.dumps(sessions).encode(), force=True)
            return
        except UsageError as error:
            told = error.message
        except OSError as error:
            told = f"{self._path} cannot be written: {error.strerror}"
        raise UsageError(told, hint=hint)


class Keyring:
    """The system's keyring, by the `keyring` package."""

    def __init__(self, backend: Any, failure: type[Exception]) -> None:
        self._backend = backend
        self._failure = failure

    @property
    def name(self) -> str:
        return f"the keyring ({getattr(self._backend, 'name', 'of this system')})"

    def load(self, url: str) -> Kept | None:
        with self._told():
            text = self._backend.get_password(_SERVICE, url)
        if not text:
            return None
        try:
            return _read(url, json.loads(text))
        except ValueError:
            return None

    def save(self, session: Kept) -> None:
        with self._told():
            self._backend.set_password(_SERVICE, session.url, json.dumps(_written(session)))

    def forget(self, url: str) -> bool:
        if self.load(url) is None:
            return False
        with self._told():
            self._backend.delete_password(_SERVICE, url)
        return True

    @contextlib.contextmanager
    def _told(self) -> Any:
        """What a backend raises may hold what it was given."""
        try:
            yield
            return
        except (self._failure, OSError) as error:
            reason = type(error).__name__
        raise UsageError(f"{self.name} does not work: {reason}", hint="unlock it, or set NEXUS_API_KEY for this run")


def _keyring() -> Keyring | None:
    """The keyring, where the package is installed and has a backend that keeps things."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    backend = keyring.get_keyring()
    # those of `fail` and `null`, which stand for none, have a priority of 0 and less
    return Keyring(backend, KeyringError) if backend.priority > 0 else None
