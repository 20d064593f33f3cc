"""Vault servers for the contract: the stand-in, and real ones where `bao` or `vault` is on PATH.

All are spoken to over a socket. Every test takes a prefix, mounts and policies of its own, so one server does for all.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from registrar.policy import Role, grants, hcl
from registrar.sandbox.http import serving
from registrar.sandbox.state import State
from registrar.sandbox.vault import Vault as StandIn
from registrar.secret import Secret
from registrar.vault import Login, Vault
from tests.contract.wire import certified

_PROGRAMS = tuple(filter(shutil.which, ("bao", "vault"))) or ("bao",)  # one that is missing is skipped, not left out
RAFT = tuple(f"{program}-raft" for program in _PROGRAMS)
PLAIN = ("stand-in", *(f"{program}-development" for program in _PROGRAMS))
"""Those without TLS, for what has no certificate to check it with."""

KINDS = PLAIN + RAFT
GENUINE = KINDS[1:]
"""Those that have what the stand-in does without: namespaces, and logins besides tokens."""

PLANNER = hcl(grants(Role.PLANNER, "secret", "PREFIX"))
PLANNER_OF_VAULT = hcl(grant for grant in grants(Role.PLANNER, "secret", "PREFIX") if "detailed" not in grant.path)
APPLIER = hcl(grants(Role.APPLIER, "secret", "PREFIX"))
DEVELOPER = hcl(grants(Role.DEVELOPER, "secret", "PREFIX", paths=["viewer"]))


@dataclass(frozen=True)
class Server:
    """A running server with its root token, spoken to by nothing that is under test."""

    kind: str
    url: str
    root: Secret
    authority: Path | None = None  # the certificate to trust, where it speaks TLS
    tls: ssl.SSLContext | None = None  # what trusts that alone

    def client(self, token: Secret | Login | None = None, prefix: str = "nexus", **options: Any) -> Vault:
        """What is under test, with root's token and this server's certificate unless told otherwise."""
        options = {"prefix": prefix, "tls": self.tls} | options
        return Vault(self.url, token=token or self.root, **options)

    def call(self, method: str, path: str, body: object = None, namespace: str = "") -> tuple[int, Any]:
        """As root: the status, and `data` where there is any."""
        place = urlsplit(self.url).netloc
        with contextlib.closing(
            http.client.HTTPSConnection(place, timeout=10, context=self.tls)
            if self.tls
            else http.client.HTTPConnection(place, timeout=10)
        ) as connection:
            headers = {"X-Vault-Token": self.root.reveal()} | ({"X-Vault-Namespace": namespace} if namespace else {})
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/v1/{quote(path, safe='/?=&')}", content, headers)
            response = connection.getresponse()
            text = response.read()
        answer = json.loads(text) if text else {}
        return response.status, answer.get("data") or answer

    def do(self, method: str, path: str, body: object = None, namespace: str = "") -> Any:
        """The same where only success will do."""
        status, data = self.call(method, path, body, namespace)
        assert status in {200, 204}, (method, path, status, data)
        return data

    def mount(self, version: str = "2", name: str = "", namespace: str = "") -> str:
        """A fresh KV mount, of a name of its own unless told otherwise."""
        name = name or f"kv-{secrets.token_hex(4)}"
        self.do("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": version}}, namespace)
        if version == "2":
            # for a moment after it is made, a v2 mount answers 400: Upgrading from non-versioned to versioned data
            _soon(lambda: self.call("GET", f"{name}/config", None, namespace)[0] != 400)
        return name

    def policy(self, text: str, prefix: str, namespace: str = "") -> str:
        """The name of a new policy; PREFIX in its text stands for the prefix."""
        name = f"p-{secrets.token_hex(4)}"
        self.do("POST", f"sys/policies/acl/{name}", {"policy": text.replace("PREFIX", prefix)}, namespace)
        return name

    def token(self, policy: str, prefix: str, namespace: str = "", **options: object) -> Secret:
        """A token with this policy alone; PREFIX in it stands for the prefix."""
        name = self.policy(policy, prefix, namespace)
        body = {"policies": [name], "no_default_policy": True, "ttl": "1h"} | options
        return self.raw_token(body, namespace)[1]

    def raw_token(self, body: object, namespace: str = "") -> tuple[int, Secret]:
        status, answer = self.call("POST", "auth/token/create", body, namespace)
        assert status == 200, answer
        return status, Secret(answer["auth"]["client_token"])


class Cluster:
    """A real server of one node on raft storage behind TLS, which can be sealed, stopped and started again."""

    def __init__(self, program: str, home: Path, server: Server) -> None:
        self.server = server
        self._program = program
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._unseal_key = ""

    def initialise(self) -> None:
        """Make it a server that has its keys, is unsealed, and has KV v2 at `secret`, as development mode has."""
        made = self.server.do("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._unseal_key = made["keys_base64"][0]
        self.server = replace(self.server, root=Secret(made["root_token"]))
        self.unseal()
        self.server.mount(name="secret")

    def seal(self) -> None:
        """Make it forget its keys, as an operator would."""
        self.server.do("POST", "sys/seal")

    def unseal(self) -> None:
        """Give it its key, and wait until it leads its cluster of one."""
        self.server.do("POST", "sys/unseal", {"key": self._unseal_key})
        assert _soon(lambda: self.server.call("GET", "sys/health")[0] == 200), _last_words(self._home)

    def launch(self) -> bool:
        """Run the program, and tell whether it answers; it is sealed then."""
        self._process = _started(self._program, self._home, f"-config={self._home / 'config.json'}")
        return _soon(lambda: self.server.call("GET", "sys/seal-status")[0] == 200, self._process)

    def start(self) -> None:
        """Run it again unless it runs, with the same data and at the same address, and unseal it."""
        if self._process is None or self._process.poll() is not None:
            assert self.launch(), _last_words(self._home)
        self.unseal()

    def stop(self) -> None:
        """End it in good order, within about a second."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        _kill(self._process)


@contextlib.contextmanager
def running(kind: str, home: Path) -> Iterator[Server]:
    """A server of that kind; skips where its program is missing."""
    if kind == "stand-in":
        state = State(":memory:")
        handler = StandIn(state)
        with contextlib.closing(state), serving(handler) as server:
            yield Server(kind, server.url, Secret(handler.root_token))
    elif kind in RAFT:
        with cluster(kind, home) as own:
            yield own.server
    else:
        with _development(kind, home) as development:
            yield development


@contextlib.contextmanager
def cluster(kind: str, home: Path) -> Iterator[Cluster]:
    """A new cluster of that kind, unsealed; skips where its program is missing."""
    program = _program(kind)
    _, authority = certified(home)
    tls = ssl.create_default_context(cafile=authority)
    for number in range(3):  # the ports found free may be taken before the server has them
        folder, ports = home / str(number), _free_ports(2)
        own = Cluster(program, folder, Server(kind, f"https://127.0.0.1:{ports[0]}", Secret(""), authority, tls))
        _configure(folder, ports, authority)
        try:
            if own.launch():
                own.initialise()
                yield own
                return
        finally:
            own.kill()
    pytest.fail(f"{program} does not start: {_last_words(folder)}")


def _configure(folder: Path, ports: list[int], authority: Path) -> None:
    """Write what both programs take; OpenBao warns of `disable_mlock`, without which Vault refuses raft storage."""
    (folder / "data").mkdir(parents=True)
    api, peers = (f"127.0.0.1:{port}" for port in ports)
    listener = {
        "address": api,
        "cluster_address": peers,
        "tls_cert_file": str(authority),
        "tls_key_file": str(authority.with_name("key.pem")),
    }
    # at its multiplier of 5, a node that starts again waits five times as long before it leads
    raft = {"path": str(folder / "data"), "node_id": "one", "performance_multiplier": "1"}
    config = {
        "storage": {"raft": raft},
        "listener": [{"tcp": listener}],
        "api_addr": f"https://{api}",
        "cluster_addr": f"https://{peers}",
        "disable_mlock": True,
    }
    (folder / "config.json").write_text(json.dumps(config))


@contextlib.contextmanager
def _development(kind: str, home: Path) -> Iterator[Server]:
    program, root = _program(kind), Secret(secrets.token_hex(12))
    for _ in range(3):  # the port found free may be taken before the server has it
        address = f"127.0.0.1:{_free_ports()[0]}"
        server = Server(kind, f"http://{address}", root)
        options = ["-dev", f"-dev-root-token-id={root.reveal()}", f"-dev-listen-address={address}"]
        process = _started(program, home, *options)
        try:
            if _soon(functools.partial(_has_secret, server), process):
                yield server
                return
        finally:
            _kill(process)
    pytest.fail(f"{program} does not start: {_last_words(home)}")


def _has_secret(server: Server) -> bool:
    return server.call("GET", "secret/config")[0] == 200  # mounted last


def _program(kind: str) -> str:
    path = shutil.which(kind.partition("-")[0])
    if path is None:
        pytest.skip("neither bao nor vault is on PATH: the contract is checked against the stand-in alone")
    return path


def _free_ports(count: int = 1) -> list[int]:
    """Ports below those that systems lend to clients: a server that is started again needs its own."""
    with contextlib.ExitStack() as probes:
        found: list[int] = []
        while len(found) < count:
            port = 20_000 + secrets.randbelow(12_000)
            probe = probes.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        return found


def _started(program: str, home: Path, *options: str) -> subprocess.Popen[bytes]:
    with (home / "log").open("ab") as log:
        environ = {"HOME": str(home), "PATH": os.environ["PATH"]}
        return subprocess.Popen([program, "server", *options], env=environ, stdout=log, stderr=log)


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait(10)


def _last_words(home: Path) -> str:
    return (home / "log").read_text(errors="replace")[-2000:]


def _soon(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> bool:
    """Whether that becomes true within 20 seconds and before the process ends."""
    ends = time.monotonic() + 20
    while (process is None or process.poll() is None) and time.monotonic() < ends:
        with contextlib.suppress(OSError):
            if condition():
                return True
        time.sleep(0.02)
    return False
