"""A Nexus and a Vault on loopback, each behind a proxy that can break things, and a look at all that they hold."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from registrar import sandbox
from registrar.nexus import Nexus
from registrar.oauth import QuietProof
from registrar.ports import Verdict
from registrar.secret import Secret
from registrar.vault import Vault
from tests.contract.vaults import Server
from tests.custody.proxy import Proxy

LOCK = ".registrar/lock"


@dataclass
class Services:
    """The running stand-ins; `nexus` and `vault` are the proxies before them, `keys` whoever is asked for."""

    running: sandbox.Sandbox
    nexus: Proxy | None = None
    vault: Proxy | None = None
    by_hand: Nexus = field(init=False)
    root: Server = field(init=False)

    def __post_init__(self) -> None:
        account = self.running.sysadmin
        self.by_hand = Nexus(
            self.running.nexus_url, api_key=Secret(account.api_key), api_secret=Secret(account.api_secret)
        )
        self.root = Server("stand-in", self.running.vault_addr, Secret(self.running.vault_token))

    @property
    def environ(self) -> dict[str, str]:
        """What a person exports to work with these."""
        return {
            "NEXUS_URL": self.nexus.url if self.nexus else self.running.nexus_url,
            "NEXUS_API_KEY": self.running.sysadmin.api_key,
            "NEXUS_API_SECRET": self.running.sysadmin.api_secret,
            "VAULT_ADDR": self.vault.url if self.vault else self.running.vault_addr,
            "VAULT_TOKEN": self.running.vault_token,
        }

    def registered(self, *, archived: bool = True) -> list[dict[str, Any]]:
        """Every application in Nexus."""
        return [asdict(found) for found in self.by_hand.all() if archived or not found.archived]

    def records(self, folder: str = "secret/nexus") -> dict[str, Any]:
        """Every record with its metadata and the data of each version, the lock's included."""
        engine, _, prefix = folder.partition("/")
        return {
            path: {
                "metadata": metadata,
                "versions": {
                    number: self.root.call("GET", f"{engine}/data/{path}?version={number}")[1]
                    for number in metadata["versions"]
                },
            }
            for path in self._paths(engine, prefix)
            for metadata in [self.root.do("GET", f"{engine}/metadata/{path}")]
        }

    def _paths(self, engine: str, folder: str) -> Iterator[str]:
        status, found = self.root.call("LIST", f"{engine}/metadata/{folder}/")
        for key in found["keys"] if status == 200 else ():
            if key.endswith("/"):
                yield from self._paths(engine, f"{folder}/{key[:-1]}")
            else:
                yield f"{folder}/{key}"

    def dump(self) -> str:
        """All that a command could have changed, but for the lock it took and gave back."""
        records = {path: record for path, record in self.records().items() if not path.endswith(LOCK)}
        return json.dumps([self.registered(), records], default=str, sort_keys=True, indent=1)

    def credential(self, path: str) -> dict[str, str]:
        """What is stored there, as anybody with the right to read it sees it."""
        data: dict[str, str] = self.root.do("GET", f"secret/data/nexus/{path}")["data"]
        return data

    def proves(self, path: str, redirect_uri: str) -> bool:
        """Whether the stored credential is right."""
        with (
            contextlib.closing(Vault(self.running.vault_addr, token=Secret(self.running.vault_token))) as vault,
            contextlib.closing(QuietProof(self.running.nexus_url)) as proof,
        ):
            stored = vault.read(path)
            return stored is not None and proof.prove(stored, redirect_uri) is Verdict.RIGHT

    def set_archived(self, name: str) -> None:
        """As a person on the Site Management page does."""
        self.by_hand.archive(self.id_of(name))

    def delete(self, name: str) -> None:
        self.by_hand.delete(self.id_of(name))

    def id_of(self, name: str) -> int:
        return next(found.id for found in self.by_hand.all() if found.name == name and not found.archived)


@contextlib.contextmanager
def serving(
    state: str | Path = ":memory:", *, proxies: bool = False, stage: str = "v2", **options: Any
) -> Iterator[Services]:
    """Stand-ins on free ports, or beside the sandbox whose state this is; `options` are more of the sandbox's."""
    if state == ":memory:":
        options |= {"nexus_port": 0, "vault_port": 0}
    with contextlib.ExitStack() as stack:
        running = sandbox.start(state, stage=stage, **options)
        stack.callback(running.close)
        before = [stack.enter_context(Proxy(url)) for url in (running.nexus_url, running.vault_addr) if proxies]
        services = Services(running, *before)
        stack.callback(services.by_hand.close)
        yield services
