"""Vault servers for the contract: the stand-in, and a real one where its program is on PATH.

Both are spoken to over a socket. Every test takes a prefix, mounts and policies of its own, so one server does for all.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from registrar.sandbox.http import serving
from registrar.sandbox.state import State
from registrar.sandbox.vault import Vault as StandIn
from registrar.secret import Secret

KINDS = ("stand-in", "server")

PLANNER = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "secret/metadata/PREFIX/*" { capabilities = ["read", "list"] }
path "secret/detailed-metadata/PREFIX/*" { capabilities = ["list"] }
path "secret/data/PREFIX/.registrar/lock" { capabilities = ["read"] }
"""
PLANNER_OF_VAULT = PLANNER.replace('path "secret/detailed-metadata/PREFIX/*" { capabilities = ["list"] }\n', "")
APPLIER = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "secret/config" { capabilities = ["read"] }
path "secret/metadata/PREFIX/*" { capabilities = ["create", "read", "update", "list"] }
path "secret/detailed-metadata/PREFIX/*" { capabilities = ["list"] }
path "secret/data/PREFIX/*" { capabilities = ["create", "read", "update"] }
path "secret/delete/PREFIX/*" { capabilities = ["update"] }
path "secret/delete/PREFIX/.registrar/*" { capabilities = ["deny"] }
path "secret/undelete/PREFIX/*" { capabilities = ["update"] }
"""
DEVELOPER = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "secret/data/PREFIX/viewer" { capabilities = ["read"] }
"""


@dataclass(frozen=True)
class Server:
    """A running server with its root token, spoken to by nothing that is under test."""

    kind: str
    url: str
    root: Secret

    def call(self, method: str, path: str, body: object = None, namespace: str = "") -> tuple[int, Any]:
        """As root: the status, and `data` where there is any."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        with contextlib.closing(connection):
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

    def mount(self, version: str = "2") -> str:
        """A fresh KV mount."""
        name = f"kv-{secrets.token_hex(4)}"
        self.do("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": version}})
        ends = time.monotonic() + 5
        # for a moment after it is made, a v2 mount answers 400: Upgrading from non-versioned to versioned data
        while version == "2" and self.call("GET", f"{name}/config")[0] == 400 and time.monotonic() < ends:
            time.sleep(0.02)
        return name

    def token(self, policy: str, prefix: str, **options: object) -> Secret:
        """A token with this policy alone; PREFIX in it stands for the prefix."""
        name = f"p-{secrets.token_hex(4)}"
        self.do("POST", f"sys/policies/acl/{name}", {"policy": policy.replace("PREFIX", prefix)})
        body = {"policies": [name], "no_default_policy": True, "ttl": "1h"} | options
        _, answer = self.raw_token(body)
        return answer

    def raw_token(self, body: object) -> tuple[int, Secret]:
        status, answer = self.call("POST", "auth/token/create", body)
        assert status == 200, answer
        return status, Secret(answer["auth"]["client_token"])


@contextlib.contextmanager
def running(kind: str, home: Path) -> Iterator[Server]:
    """A server of that kind; skips where there is none."""
    if kind == "stand-in":
        state = State(":memory:")
        handler = StandIn(state)
        with contextlib.closing(state), serving(handler) as server:
            yield Server(kind, server.url, Secret(handler.root_token))
        return
    program = shutil.which("bao") or shutil.which("vault")
    if program is None:
        pytest.skip("neither bao nor vault is on PATH: the contract is checked against the stand-in alone")
    with _development_server(program, home) as server_:
        yield server_


@contextlib.contextmanager
def _development_server(program: str, home: Path) -> Iterator[Server]:
    root = Secret(secrets.token_hex(12))
    for _ in range(3):  # the port found free may be taken before the server has it
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [program, "server", "-dev", f"-dev-root-token-id={root.reveal()}"]
        process = subprocess.Popen(
            [*command, f"-dev-listen-address=127.0.0.1:{port}"],
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server = Server("server", f"http://127.0.0.1:{port}", root)
        try:
            if _answers(server, process):
                yield server
                return
        finally:
            process.terminate()
            process.wait(10)
    pytest.fail(f"{program} does not start")


def _answers(server: Server, process: subprocess.Popen[bytes]) -> bool:
    ends = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < ends:
        with contextlib.suppress(OSError):
            if server.call("GET", "secret/config")[0] == 200:  # mounted last
                return True
        time.sleep(0.05)
    return False
