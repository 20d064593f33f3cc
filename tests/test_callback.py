"""The listener on a redirect URI: one path, one callback, and a browser that is told what became of it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from registrar.callback import Listener, listenable, listening
from registrar.errors import StepFailed, UsageError
from registrar.flow import ForeignCallback
from tests.contract.wire import unused_port


def free(host: str = "127.0.0.1", path: str = "/cb") -> str:
    with unused_port() as port:
        pass
    return f"http://{host}:{port}{path}"


def ask(url: str, method: str = "GET", host: str = "") -> tuple[int, dict[str, str], str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(host or parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(method, f"{parts.path}{f'?{parts.query}' if parts.query else ''}")
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read().decode()
    finally:
        connection.close()


def fine(_: str) -> None:
    """Any callback will do."""


def judged(error: StepFailed) -> Callable[[str], None]:
    def judge(_: str) -> None:
        raise error

    return judge


def test_the_callback_is_handed_over_as_it_came() -> None:
    uri = free()
    with listening(uri) as listener:
        assert ask(f"{uri}?code=early")[0] == 404  # before anybody expects one
        listener.expect(fine, fine)
        status, headers, page = ask(f"{uri}?code=a%20b&state=s")
        assert (status, "Signed in" in page, "a%20b" in page) == (200, True, False)
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert listener.wait(5) == f"{uri}?code=a%20b&state=s"


def test_only_the_registered_path_and_only_get() -> None:
    uri = free()
    with listening(uri) as listener:
        listener.expect(fine, fine)
        assert ask(uri.replace("/cb", "/favicon.ico"))[0] == 404
        assert ask(f"{uri}/deeper?code=c")[0] == 404
        assert ask(uri, "POST")[0] == 501
        with pytest.raises(StepFailed, match="nobody came back"):
            listener.wait(0.05)


def test_the_root_is_a_path_too() -> None:
    uri = free(path="")
    with listening(uri) as listener:
        listener.expect(fine, fine)
        assert ask(f"{uri}/?code=c")[0] == 200
        assert listener.wait(5) == f"{uri}/?code=c"


def test_a_stray_one_is_told_and_the_wait_goes_on() -> None:
    uri, strays = free(), list[str]()
    with listening(uri) as listener:
        listener.expect(judged(ForeignCallback("not ours")), strays.append)
        assert ask(f"{uri}?code=c")[0] == 400
        listener.expect(fine, fine)
        assert ask(f"{uri}?code=d")[0] == 200
        assert listener.wait(5).endswith("code=d")
    assert strays == ["not ours"]


def test_what_is_wrong_is_shown_there_and_raised_here() -> None:
    uri = free()
    with listening(uri) as listener:
        listener.expect(judged(StepFailed("<script>alert(1)</script>", hint="mend it")), fine)
        status, _, page = ask(f"{uri}?error=x")
        assert (status, "<script>" in page, "&lt;script&gt;" in page) == (400, False, True)
        with pytest.raises(StepFailed, match="script") as caught:
            listener.wait(5)
        assert caught.value.hint == "mend it"


def test_a_connection_that_says_nothing_is_in_nobodys_way() -> None:
    uri = free()
    with listening(uri) as listener, socket.create_connection(("127.0.0.1", urlsplit(uri).port or 0)):
        listener.expect(fine, fine)
        assert ask(f"{uri}?code=c")[0] == 200


def test_localhost_is_both_addresses() -> None:
    uri = free("localhost")
    with listening(uri) as listener:
        listener.expect(fine, fine)
        assert ask(f"{uri}?code=c", host="127.0.0.1")[0] == 200
        if socket.has_ipv6 and has_ipv6_loopback():
            assert ask(f"{uri}?code=c", host="::1")[0] == 200


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
def test_ipv6() -> None:
    uri = free("[::1]")
    with listening(uri) as listener:
        listener.expect(fine, fine)
        assert ask(f"{uri}?code=c", host="::1")[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_taken_port(host: str) -> None:
    uri = free(host)
    with listening(uri), pytest.raises(UsageError, match=r"nothing can listen on 127\.0\.0\.1 port") as caught:
        Listener(uri)
    assert "--paste" in caught.value.hint
    Listener(uri).close()  # whatever was opened is closed


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1:8080/cb", ""),
        ("http://localhost/cb", ""),
        ("https://127.0.0.1:8080/cb", "https"),
        ("https://viewer.example.org/cb", "viewer.example.org, and not on this machine"),
        ("http://192.168.0.7/cb", "not on this machine"),
    ],
)
def test_what_can_be_listened_on(uri: str, reason: str) -> None:
    told = listenable(uri)
    assert reason in told
    assert bool(told) == bool(reason)
    if told:
        with pytest.raises(UsageError):
            Listener(uri)
