"""The servers that are worked with: the stand-ins in a process of their own, and an OpenBao on raft storage."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.contest import ended

FOLDER = "secret/nexus"


@contextlib.contextmanager
def standing_in(home: Path, *, latency_ms: float = 0, apart: bool = False) -> Iterator[dict[str, str]]:
    """The environment for commands that work with fresh stand-ins, and with nothing else of this machine.

    `apart` gives each service a process of its own, as two real ones have.
    """
    with contextlib.ExitStack() as stack:
        nexus = stack.enter_context(_sandbox(home, latency_ms))
        vault = stack.enter_context(_sandbox(home, latency_ms)) if apart else nexus
        yield {
            **surroundings(home),
            "NEXUS_URL": nexus["nexus_url"],
            "NEXUS_API_KEY": nexus["sysadmin"]["api_key"],
            "NEXUS_API_SECRET": nexus["sysadmin"]["api_secret"],
            "VAULT_ADDR": vault["vault_addr"],
            "VAULT_TOKEN": vault["vault_token"],
        }


@contextlib.contextmanager
def _sandbox(home: Path, latency_ms: float) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "registrar", "sandbox", "--state", ":memory:", "--latency", str(latency_ms)]
    process = subprocess.Popen(
        [*command, "--nexus-port", "0", "--vault-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=surroundings(home),
    )
    with ended(process):
        assert process.stdout
        yield json.loads(process.stdout.readline())


def surroundings(home: Path) -> dict[str, str]:
    """What a process needs of ours and no more; its home is a folder of this benchmark."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "SYSTEMROOT"}}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}


def openbao() -> str | None:
    """The program, where it is on PATH."""
    return shutil.which("bao")


@contextlib.contextmanager
def on_raft(home: Path) -> Iterator[tuple[str, str]]:
    """The address of an OpenBao with KV v2 at `secret` on raft storage, and its root token."""
    program = openbao()
    assert program
    home.mkdir()
    ports = _free_ports(2)
    (home / "config.json").write_text(
        json.dumps(
            {
                "listener": {"tcp": {"address": f"127.0.0.1:{ports[0]}", "tls_disable": True}},
                "storage": {"raft": {"path": str(home), "node_id": "one"}},
                "cluster_addr": f"http://127.0.0.1:{ports[1]}",
                "api_addr": f"http://127.0.0.1:{ports[0]}",
                "disable_mlock": True,
            }
        )
    )
    process = subprocess.Popen(
        [program, "server", f"-config={home / 'config.json'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=surroundings(home),
    )
    addr = f"http://127.0.0.1:{ports[0]}"
    with ended(process):
        until(lambda: call(addr, "", "GET", "sys/seal-status")[0] == 200)
        _, made = call(addr, "", "POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        call(addr, "", "POST", "sys/unseal", {"key": made["keys_base64"][0]})
        until(lambda: call(addr, "", "GET", "sys/health")[0] == 200)
        token = made["root_token"]
        call(addr, token, "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        until(lambda: call(addr, token, "GET", "secret/config")[0] == 200)
        yield addr, token


def call(addr: str, token: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """The status of one request and its JSON; 0 where nobody answers."""
    connection = http.client.HTTPConnection(urlsplit(addr).netloc, timeout=30)
    with contextlib.closing(connection):
        return asked(connection, token, method, path, body)


def asked(
    connection: http.client.HTTPConnection, token: str, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """The same over a connection that is kept."""
    content = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, f"/v1/{path}", content, {"X-Vault-Token": token})
        response = connection.getresponse()
        text = response.read()
    except OSError:
        return 0, {}
    return response.status, json.loads(text) if text else {}


def until(true: Any, timeout_s: float = 60.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "a server did not start"
        time.sleep(0.05)


def copied(source: Mapping[str, str], addr: str, token: str) -> int:
    """Write every record of the stand-in, its facts and the lock's, to another Vault; how many there were."""
    there, key = source["VAULT_ADDR"], source["VAULT_TOKEN"]
    paths: list[str] = []
    folders = [f"{FOLDER}/"]
    while folders:
        folder = folders.pop()
        _, found = call(there, key, "GET", f"{folder.replace('secret/', 'secret/metadata/', 1)}?list=true")
        for name in found["data"]["keys"]:
            (folders if name.endswith("/") else paths).append(folder + name)
    local = threading.local()

    def copy(path: str) -> None:
        if not hasattr(local, "pair"):
            local.pair = [http.client.HTTPConnection(urlsplit(url).netloc, timeout=30) for url in (there, addr)]
        old, new = local.pair
        data, metadata = (path.replace("secret/", f"secret/{part}/", 1) for part in ("data", "metadata"))
        content = asked(old, key, "GET", data)[1]["data"]["data"]
        facts = asked(old, key, "GET", metadata)[1]["data"]["custom_metadata"]
        assert asked(new, token, "POST", data, {"data": content, "options": {"cas": 0}})[0] == 200
        if facts:
            assert asked(new, token, "POST", metadata, {"custom_metadata": facts})[0] == 204

    with ThreadPoolExecutor(8) as pool:
        return len(list(pool.map(copy, paths)))


def _free_ports(number: int) -> list[int]:
    import socket

    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
