"""What the pool says of connections: which failure left nothing behind, and nothing of what was asked."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import create_server, socket
from time import monotonic, sleep

import pytest
from urllib3.exceptions import HTTPError

from registrar.pool import NotConnected, Pool, content, unsent, words
from tests.contract.vault_wire import answer, listening
from tests.contract.wire import Reply, Wire, certified, drip, reply, reset, silence, unused_port

CANARY = "canary-of-the-query"


@pytest.fixture
def pool() -> Iterator[Pool]:
    with contextlib.closing(Pool(ssl.create_default_context())) as made:
        yield made


def failed(pool: Pool, url: str, timeout_s: float = 5) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        content(
            pool.request("POST", f"{url}/x?secret={CANARY}", headers={}, timeout_s=timeout_s),
            1000,
            monotonic() + timeout_s,
        )
    assert CANARY not in words(caught.value)
    error: BaseException | None = caught.value
    while error:  # their frames keep sockets that nobody else has
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__
    return caught.value


BROKEN: dict[str, tuple[Reply, str]] = {
    "reset": (reset, "connection reset by peer"),
    "closed": (lambda connection: connection.close(), "the connection broke off"),
    "silence": (silence, "no answer in time"),
    "drip": (drip, "the answer did not end in time"),
    "half": (reply(200, "0123456789")[:-3], "the connection broke off"),
    "not http": (b"SSH-2.0-OpenSSH_9.2p1\r\n", "the connection broke off"),
    "too many headers": (reply(200, **{f"X-{n}": "x" for n in range(200)}), "the connection broke off"),
    "no gzip": (reply(200, "0123456789", Content_Encoding="gzip"), "the connection broke off"),
    "long": (reply(200, "x" * (1 << 20)), "the answer is longer than 0 MiB"),
}


@pytest.mark.parametrize(("broken", "why"), BROKEN.values(), ids=BROKEN)
def test_what_was_sent_may_have_been_done(pool: Pool, broken: Reply, why: str) -> None:
    with Wire(broken) as wire:
        error = failed(pool, wire.url, timeout_s=0.5)
    assert not unsent(error)
    assert words(error) == why
    assert len(wire.requests) == 1


def test_an_answer_that_ends_late_is_taken(pool: Pool) -> None:
    """It may be the only one that has a secret."""
    whole = reply(200, "secret")

    def hesitate(connection: socket) -> None:
        for part in (whole[:-6], whole[-6:]):
            sleep(0.3)
            connection.sendall(part)

    with Wire(hesitate) as wire:
        ends = monotonic() + 0.5
        response = pool.request("POST", f"{wire.url}/x", headers={}, timeout_s=0.5)
        assert content(response, 1000, ends) == b"secret"
        assert monotonic() > ends


def test_a_request_leaves_as_a_whole(pool: Pool) -> None:
    """The server has the body as soon as it has the headers."""
    with create_server(("127.0.0.1", 0)) as there, ThreadPoolExecutor(1) as served:

        def once() -> bytes:
            connection, _ = there.accept()
            with connection:
                first = connection.recv(65536)
                connection.sendall(reply(200, "x"))
                return first

        first = served.submit(once)
        url = f"http://127.0.0.1:{there.getsockname()[1]}/x"
        response = pool.request("POST", url, headers={}, body=b"the body", timeout_s=5)
        assert content(response, 1000, monotonic() + 5) == b"x"
        assert first.result().endswith(b"\r\n\r\nthe body")


def test_nobody_there_means_that_nothing_was_sent(pool: Pool) -> None:
    with unused_port() as port:
        error = failed(pool, f"http://127.0.0.1:{port}")
    assert unsent(error)
    assert words(error) == "connection refused"
    assert unsent(failed(pool, "http://name.invalid"))


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (reset, "connection reset by peer"),
        (silence, "no connection in time"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong version number"),
    ],
    ids=["reset", "silence", "no TLS"],
)
def test_a_handshake_that_fails_has_sent_nothing(pool: Pool, server: Reply, why: str) -> None:
    with Wire(server) as wire:
        error = failed(pool, wire.url.replace("http:", "https:"), timeout_s=0.5)
    assert isinstance(error, NotConnected)
    assert not error.by_proxy
    assert unsent(error)
    assert why in words(error)


def test_it_is_the_proxy_that_fails() -> None:
    tls = ssl.create_default_context()
    with unused_port() as port, Wire(reply(407)) as refusing:
        nobody = f"http://127.0.0.1:{port}"
        for proxy, url in (
            (nobody, "http"),
            (nobody, "https"),
            (refusing.url, "https"),
            ("socks5://127.0.0.1:1", "http"),
        ):
            with contextlib.closing(Pool(tls, proxies={"http": proxy, "https": proxy})) as pool:
                error = failed(pool, f"{url}://there.invalid")
            assert isinstance(error, NotConnected)
            assert error.by_proxy
            assert unsent(error)


def test_closing_ends_what_was_kept() -> None:
    ended = threading.Event()
    kept = reply(200, "x").replace(b"Connection: close", b"Connection: keep-alive")

    def serve(connection: socket) -> None:
        connection.sendall(kept)
        if connection.recv(1) == b"":
            ended.set()

    pool = Pool(ssl.create_default_context())
    with Wire(serve) as wire:
        content(pool.request("GET", f"{wire.url}/x", headers={}, timeout_s=5), 1000, monotonic() + 5)
        assert not ended.is_set()
        pool.close()
        assert ended.wait(5)
        assert unsent(failed(pool, wire.url))
    assert len(wire.requests) == 1


def test_no_address_is_logged(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """Neither that of a request nor, by a warning, that of an answer whose headers are odd."""
    for name in ("urllib3", "urllib3.connectionpool", "http.client"):
        caplog.set_level(logging.DEBUG, logger=name)
    odd = reply(200, "x").replace(b"Content-Type", b"no header at all\r\nContent-Type")
    for said in (reply(200, "x"), odd):
        with Wire(said) as wire:
            response = pool.request("POST", f"{wire.url}/x?secret={CANARY}", headers={}, timeout_s=5)
            content(response, 1000, monotonic() + 5)
    assert CANARY not in caplog.text


def test_python_warns_of_no_certificate_that_is_meant_to_go_unchecked(tmp_path: Path) -> None:
    context, _ = certified(tmp_path)
    with listening(lambda _: answer(404, {"errors": []}), context) as there:
        known = {"VAULT_ADDR": there.url, "VAULT_TOKEN": "s.x", "VAULT_SKIP_VERIFY": "1", "HOME": str(tmp_path)}
        command = [sys.executable, "-m", "registrar", "creds", "get", "viewer"]
        run = subprocess.run(command, capture_output=True, text=True, env=os.environ | known, cwd=tmp_path)
    assert there.seen
    assert "Insecure" not in run.stderr
    assert "viewer" in run.stderr
