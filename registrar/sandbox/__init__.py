"""Embedded stand-ins of Nexus, its web frontend included, and Vault, for a first try, demonstrations and tests.

They answer as the real servers do, exchange for exchange, and keep what they hold in one SQLite file. Nothing here is
imported by, or imports, the rest of registrar: a stand-in that shared code with the client would share its mistakes.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from registrar.sandbox.http import Handler, Server, serve
from registrar.sandbox.nexus import STAGES, Nexus
from registrar.sandbox.state import State
from registrar.sandbox.vault import Vault

__all__ = ["STAGES", "Account", "Sandbox", "start"]


@dataclass(frozen=True, slots=True)
class Account:
    """The API key of one of the two users that programs work as."""

    api_key: str
    api_secret: str


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Both stand-ins, answering until `close`.

    `home` are the addresses that this state had first. Records remember them, so they stay the sandbox's name when
    another process already serves there and this one had to take other ports.
    """

    nexus_url: str
    vault_addr: str
    home: tuple[str, str]
    vault_token: str
    sysadmin: Account
    user: Account
    close: Callable[[], None]

    def ready(self) -> str:
        """One line of JSON with all that a client needs."""
        accounts = {
            name: {"api_key": account.api_key, "api_secret": account.api_secret}
            for name, account in (("sysadmin", self.sysadmin), ("user", self.user))
        }
        addresses = {"nexus_url": self.nexus_url, "frontend_url": self.nexus_url, "vault_addr": self.vault_addr}
        kind = {"schema_version": 1, "kind": "sandbox"}  # as all of registrar's documents begin
        return json.dumps({**kind, **addresses, "vault_token": self.vault_token, **accounts})


def start(
    path: str | Path,
    *,
    stage: str = "v2",
    nexus_port: int | None = None,
    vault_port: int | None = None,
    latency_s: float = 0.0,
    clock: Callable[[], float] = time.time,
) -> Sandbox:
    """Open the state and serve both stand-ins; a port of 0 is any free one, None the one this state had first.

    All that expires in Nexus goes by `clock`, in seconds since 1970. Raises OSError for a given port that is in use.
    A state of `:memory:` is gone with the sandbox.
    """
    state = State(path)
    nexus, vault = Nexus(state, stage, clock=clock), Vault(state)
    servers: list[Server] = []

    def close() -> None:
        for server in servers:
            server.end()
        for server in servers:
            server.close()
        state.close()

    try:
        for handler, name, port in ((nexus, "nexus-port", nexus_port), (vault, "vault-port", vault_port)):
            servers.append(_serve(handler, state, name, port, latency_s))
    except OSError:
        close()
        raise
    home = tuple(f"http://127.0.0.1:{state.setting(name, '0')}" for name in ("nexus-port", "vault-port"))
    return Sandbox(
        nexus_url=servers[0].url,
        vault_addr=servers[1].url,
        home=(home[0], home[1]),
        vault_token=vault.root_token,
        sysadmin=Account(nexus.sysadmin.api_key, nexus.sysadmin.api_secret),
        user=Account(nexus.user.api_key, nexus.user.api_secret),
        close=close,
    )


def _serve(handler: Handler, state: State, name: str, port: int | None, latency_s: float) -> Server:
    if port is not None:
        server = serve(handler, port, latency_s=latency_s)
        state.setting(name, str(server.port))
        return server
    home = int(state.setting(name, str(_free_port())))
    try:
        return serve(handler, home, latency_s=latency_s)
    except OSError:  # another process serves this state, or a stranger took the port
        return serve(handler, 0, latency_s=latency_s)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
