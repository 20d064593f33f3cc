"""What no Vault answers on demand, and what hvac and requests would do behind one's back."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from registrar.errors import (
    AccessDenied,
    Missing,
    OutcomeUnknown,
    Rejected,
    Sealed,
    ServiceError,
    Unreachable,
    Unsuitable,
    UsageError,
    VersionMismatch,
)
from registrar.model import Credential, Facts, Kind, Lock
from registrar.secret import Secret
from registrar.tls import Tls
from registrar.vault import Vault, wire
from tests.contract.vault_wire import RESET, Script, Seen, Wire, answer, listening
from tests.contract.wire import Wire as Dripping
from tests.contract.wire import drip

TOKEN = Secret("s.canary-token")
CREDENTIAL = Credential("c1", Secret("canary-secret"))
TIME = "2026-01-02T03:04:05.123456789Z"
WRITTEN = {"data": {"created_time": TIME, "deletion_time": "", "destroyed": False, "version": 1}}
METADATA = {
    "current_version": 1,
    "custom_metadata": None,
    "delete_version_after": "0s",
    "max_versions": 0,
    "versions": {"1": {"created_time": TIME, "deletion_time": "", "destroyed": False}},
}
MISMATCH = {"errors": ["check-and-set parameter did not match the current version"]}
SEALED = {"errors": ["Vault is sealed"]}
PAGE = "<html><body>502 Bad Gateway</body></html>"


@contextlib.contextmanager
def facing(script: Script | None, **options: Any) -> Iterator[tuple[Vault, Wire]]:
    """A Vault whose server follows the script."""
    with listening(script) as there:
        vault = Vault(there.url, token=TOKEN, **({"timeout_s": 5.0} | options))
        try:
            yield vault, there
        finally:
            vault.close()


def saying(*answers: bytes) -> Script:
    """These answers in turn, the last one for ever."""
    waiting = list(answers)
    return lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def store(vault: Vault) -> object:
    return vault.store("viewer", CREDENTIAL, 0)


def settle(vault: Vault) -> object:
    vault.settle("viewer", Facts(version=1), None)
    return None


def write_lock(vault: Vault) -> object:
    return vault.write_lock(Lock(0, "d"))


def assert_silent(error: BaseException) -> None:
    """Neither text nor traceback, locals included, shows the token or the secret; no other exception is kept."""
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert TOKEN.reveal() not in shown
    assert CREDENTIAL.client_secret.reveal() not in shown
    assert error.__context__ is None


def closed_port() -> str:
    with listening() as there:
        return there.url


class TestWrites:
    @pytest.mark.parametrize("write", [store, settle, write_lock])
    @pytest.mark.parametrize(
        "said",
        [
            RESET,
            answer(500, {"errors": ["internal error"]}),
            answer(502, PAGE, Content_Type="text/html"),
            answer(503, {"errors": ["no active node"]}),
            answer(200, PAGE, Content_Type="text/html"),
            answer(200, "null"),
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n" + b'{"data": {"ver',
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
            b"not HTTP at all\r\n\r\n",
        ],
        ids=["reset", "500", "502 page", "503", "200 page", "200 null", "cut off", "cut chunk", "no HTTP"],
    )
    def test_an_outcome_that_nobody_knows(self, write: Callable[[Vault], object], said: bytes) -> None:
        with facing(saying(said)) as (vault, there):
            with pytest.raises(OutcomeUnknown) as raised:
                write(vault)
            assert len(there.seen) == 1
            assert_silent(raised.value)

    def test_a_200_that_names_no_version(self) -> None:
        bodies: list[object] = [{"data": None}, {"data": {}}, {"data": {"version": "x", "created_time": TIME}}]
        for body in bodies:
            with facing(saying(answer(200, body))) as (vault, _), pytest.raises(OutcomeUnknown):
                store(vault)

    def test_an_answer_that_does_not_come(self) -> None:
        with facing(None, timeout_s=0.3) as (vault, there):
            started = time.monotonic()
            with pytest.raises(OutcomeUnknown):
                store(vault)
            assert time.monotonic() - started < 3
            assert len(there.seen) == 1

    def test_nothing_was_sent(self) -> None:
        vault = Vault(closed_port(), token=TOKEN)
        with pytest.raises(Unreachable, match=r"no connection to Vault at http://127\.0\.0\.1:.*refused") as raised:
            store(vault)
        assert raised.value.hint == "check VAULT_ADDR"
        with pytest.raises(Unreachable):
            Vault("http://nowhere.invalid", token=TOKEN, timeout_s=5).read("viewer")

    @pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
    def test_a_refused_check_and_set_by_any_content_type(self, kind: str) -> None:
        with facing(saying(answer(400, MISMATCH, Content_Type=kind))) as (vault, _), pytest.raises(VersionMismatch):
            store(vault)
        with facing(saying(answer(200, WRITTEN, Content_Type=kind))) as (vault, _):
            assert vault.store("viewer", CREDENTIAL, 0).version == 1

    @pytest.mark.parametrize("status", [400, 405, 415, 473 - 1, 409])
    def test_another_refusal_says_nothing_of_check_and_set(self, status: int) -> None:
        said = f"HTTP/1.1 {status} No\r\nContent-Length: 29\r\nConnection: close\r\n\r\n".encode()
        with facing(saying(said + b'{"errors": ["not like that"]}')) as (vault, there):
            with pytest.raises(Rejected, match="not like that") as raised:
                store(vault)
            assert type(raised.value) is Rejected
            assert len(there.seen) == 1

    def test_the_words_in_another_status(self) -> None:
        with facing(saying(answer(500, MISMATCH))) as (vault, _), pytest.raises(OutcomeUnknown):
            store(vault)

    @pytest.mark.parametrize("status", [400, 403, 404, 413])
    def test_a_page_of_somebody_else(self, status: int) -> None:
        said = answer(status, PAGE, Content_Type="text/html")
        for call in (store, lambda vault: vault.read("viewer")):
            with facing(saying(said)) as (vault, _), pytest.raises(Unsuitable, match="is not Vault"):
                call(vault)

    def test_an_unknown_end_of_a_deletion(self) -> None:
        said = (answer(204), answer(403, {"errors": ["permission denied"]}))
        with facing(saying(*said)) as (vault, _), pytest.raises(OutcomeUnknown, match="cannot be asked"):
            vault.delete_version("viewer", 1)
        living = answer(200, {"data": METADATA})
        with facing(saying(answer(204), living)) as (vault, _), pytest.raises(Rejected, match="did not delete"):
            vault.delete_version("viewer", 1)


class TestQuestions:
    @pytest.mark.parametrize("bad", [RESET, answer(429, {"errors": ["slow down"]}), answer(500, {"errors": []})])
    def test_are_asked_again(self, bad: bytes) -> None:
        with facing(saying(bad, bad, answer(404, {"errors": []}))) as (vault, there):
            assert vault.read("viewer") is None
            assert len(there.seen) == 3

    def test_but_not_for_ever(self) -> None:
        with facing(saying(answer(500, {"errors": ["no"]}))) as (vault, there):
            with pytest.raises(Unsuitable, match="500 no"):
                vault.one("viewer")
            assert len(there.seen) == 3
        with facing(saying(RESET)) as (vault, _), pytest.raises(Unreachable):
            vault.lock()
        with facing(None, timeout_s=0.3) as (vault, _), pytest.raises(Unreachable, match="no answer"):
            vault.all()

    def test_an_answer_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "_LIMIT_BYTES", 1000)
        with (
            facing(saying(answer(200, {"data": "x" * 2000}))) as (vault, _),
            pytest.raises(Unreachable, match="longer"),
        ):
            vault.read("viewer")

    def test_an_answer_that_drips(self) -> None:
        """Each read ends in time, and the whole would take a minute."""
        with (
            Dripping(drip) as there,
            contextlib.closing(Vault(there.url, token=TOKEN, timeout_s=0.5)) as vault,
            pytest.raises(Unreachable, match="did not end in time"),
        ):
            vault.read("viewer")

    def test_a_sealed_server_is_asked_once(self) -> None:
        with facing(saying(answer(503, {"errors": ["Vault is sealed"]}))) as (vault, there):
            with pytest.raises(Unsuitable, match="Vault is sealed") as raised:
                vault.lock()
            assert raised.value.hint
            assert len(there.seen) == 1

    def test_a_server_that_was_never_initialised(self) -> None:
        health = {"initialized": False, "sealed": True, "standby": True}
        with facing(saying(answer(501, health))) as (vault, _), pytest.raises(Unsuitable, match="not initialised"):
            vault.check([])

    def test_nothing_is_read_out_of_what_is_not_vault(self) -> None:
        for body in ({"ok": True}, {"data": {"keys": "all"}}, {"data": {"versions": {"1": None}}}):
            with facing(saying(answer(200, body))) as (vault, _):
                for call in (vault.all, partial(vault.one, "viewer")):
                    with pytest.raises(Unsuitable):
                        call()

    def test_a_404_with_a_reason_is_not_nothing(self) -> None:
        for reasons in ({"errors": ["no handler for route"]}, {"data": None, "warnings": ["Invalid path"]}, {}):
            with facing(saying(answer(404, reasons))) as (vault, _):
                for call in (vault.all, vault.lock, partial(vault.read, "viewer")):
                    with pytest.raises(Missing):
                        call()

    def test_a_refusal_names_what_is_needed(self) -> None:
        denied, alive = answer(403, {"errors": ["permission denied\x1b[31m"]}), answer(200, {"data": {"ttl": 60}})
        with facing(saying(denied, alive)) as (vault, there):
            with pytest.raises(AccessDenied, match="read on secret/data/nexus/viewer: permission denied") as raised:
                vault.read("viewer")
            assert "\x1b" not in raised.value.message
            assert [seen.target for seen in there.seen] == [
                "/v1/secret/data/nexus/viewer",
                "/v1/auth/token/lookup-self",
            ]

    @pytest.mark.parametrize("secret", ["s", "errors", "check-and-set", "Vault is sealed", '":[', "\\"])
    def test_a_secret_that_is_a_word_of_vault_changes_no_meaning(self, secret: str) -> None:
        words = Credential("c1", Secret(secret))
        for said, meaning in ((answer(400, MISMATCH), VersionMismatch), (answer(503, SEALED), Sealed)):
            with facing(saying(said)) as (vault, _), pytest.raises(meaning):
                vault.store("viewer", words, 0)

    def test_a_refusal_that_quotes_the_request_shows_no_secret(self) -> None:
        def quoting(seen: Seen) -> bytes:
            return answer(400, {"errors": [f"bad value {json.loads(seen.body)} of {seen.headers['x-vault-token']}"]})

        with facing(quoting) as (vault, _), pytest.raises(Rejected, match=r"bad value .*\*{8}.* of \*{8}") as raised:
            store(vault)
        assert_silent(raised.value)

    @pytest.mark.parametrize("errors", ["a text", {"a": "b"}, [1, None, {"x": "y"}], 5])
    def test_errors_of_another_shape(self, errors: object) -> None:
        with facing(saying(answer(400, {"errors": errors}))) as (vault, _), pytest.raises(Rejected, match="400"):
            store(vault)

    def test_a_token_that_is_dead_is_told_from_a_policy(self) -> None:
        with facing(saying(answer(403, {"errors": ["permission denied"]}))) as (vault, _):
            with pytest.raises(AccessDenied, match=r"create and update on .*/viewer: the token has ended") as raised:
                store(vault)
            assert raised.value.hint == "vault login, or set VAULT_TOKEN anew"

    def test_the_date_header_is_needed(self) -> None:
        undated = saying(answer(200, {"data": METADATA}, Date=""))
        with facing(undated) as (vault, _), pytest.raises(Unsuitable, match="no Date header"):
            vault.one("viewer")

    def test_nanoseconds(self) -> None:
        for time_, micros in ((TIME, 123456), ("2026-01-02T03:04:05.12Z", 120000), ("2026-01-02T03:04:05Z", 0)):
            version = {"created_time": time_, "deletion_time": "", "destroyed": False}
            metadata = METADATA | {"versions": {"1": version}}
            with facing(saying(answer(200, {"data": metadata}))) as (vault, _):
                assert vault.one("viewer").versions[0].created_at.microsecond == micros


class TestListing:
    @pytest.mark.parametrize(
        "unknown",
        [
            {"errors": ["1 error occurred:\n\t* unsupported path\n\n"]},
            {"data": None, "warnings": ["Invalid path for a versioned K/V secrets engine. See the API docs."]},
            {"errors": []},
        ],
    )
    def test_vault_knows_no_detailed_metadata(self, unknown: object) -> None:
        def vault_1_17(seen: Seen) -> bytes:
            if "detailed-metadata" in seen.target:
                return answer(404, unknown)
            if seen.target == "/v1/secret/metadata/nexus?list=true":
                return answer(200, {"data": {"keys": ["viewer", "gone"]}})
            if seen.target == "/v1/secret/metadata/nexus/viewer":
                return answer(200, {"data": METADATA})
            return answer(404, {"errors": []})

        with facing(vault_1_17) as (vault, there):
            records = vault.all().records
            assert [(record.path, record.kind) for record in records] == [("gone", Kind.NONE), ("viewer", Kind.FOREIGN)]
            assert {seen.method for seen in there.seen} == {"GET"}  # proxies refuse LIST

    def test_a_server_that_does_not_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("registrar.vault.listing.PAGE", 1)
        whole = {"data": {"keys": ["viewer"], "key_info": {"viewer": METADATA}}}
        with facing(saying(answer(200, whole))) as (vault, _):
            assert [record.path for record in vault.all().records] == ["viewer"]

    def test_keys_that_come_and_go_between_the_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key where the next part was to begin is deleted, and one is written before it: nothing else is missed."""
        monkeypatch.setattr("registrar.vault.listing.PAGE", 2)
        before = {f"app-{number:02d}" for number in range(20)}
        now = sorted(before - {"app-07", "app-08", "app-13", "app-14"} | {"app-06-new", "app-19-new"})

        def changing(seen: Seen) -> bytes:
            path, _, query = seen.target.partition("?")
            if path == "/v1/secret/metadata/nexus":
                return answer(200, {"data": {"keys": sorted(before)}})
            after = dict(pair.split("=") for pair in query.split("&")).get("after", "")
            keys = [key for key in now if key > after][:2]
            return answer(200, {"data": {"keys": keys, "key_info": dict.fromkeys(keys, METADATA)}})

        with facing(changing) as (vault, _):
            assert [record.path for record in vault.all().records] == now


class TestRedirects:
    def test_a_standby_names_the_active_node(self) -> None:
        with facing(saying(answer(200, WRITTEN))) as (active_vault, active):
            active_vault.close()
            path = "/v1/secret/data/nexus/a%20b"
            with facing(saying(answer(307, Location=f"{active.url}{path}"))) as (vault, standby):
                assert vault.store("a b", CREDENTIAL, 0).version == 1
                assert [seen.target for seen in standby.seen] == [seen.target for seen in active.seen] == [path]
                assert active.seen[0].headers["x-vault-token"] == TOKEN.reveal()
                assert active.seen[0].body == standby.seen[0].body
                assert active.seen[0].method == "POST"

    def test_only_once(self) -> None:
        def round_and_round(seen: Seen) -> bytes:
            return answer(307, Location=f"http://{seen.headers['host']}{seen.target}")

        with facing(round_and_round) as (vault, there):
            with pytest.raises(Unsuitable, match="redirect"):
                store(vault)
            assert len(there.seen) == 2

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_elsewhere_is_not_followed(self, status: int) -> None:
        """requests would send a 302's POST as a GET, whose 200 reads as written, and carry a 307's token anywhere."""
        with facing(saying(answer(200, WRITTEN))) as (_, elsewhere):
            for location in (f"{elsewhere.url}/login", "//other", "", "ftp://x/v1/secret/data/nexus/viewer"):
                with facing(saying(answer(status, Location=location))) as (vault, _there):
                    for call in (store, settle, lambda vault: vault.read("viewer")):
                        with pytest.raises(Unsuitable, match="redirect"):
                            call(vault)
            assert elsewhere.seen == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=vault"
    options = [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "cert"]
    subprocess.run(options, cwd=home, check=True, capture_output=True)
    return home


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    return context


class TestTls:
    def test_what_breaks_the_encryption_once_a_write_was_read(self, context: ssl.SSLContext, certificate: Path) -> None:
        """It may be stored: only what a handshake fails of says that nothing was read."""

        def plain(connection: socket.socket) -> None:
            os.write(connection.fileno(), b"HTTP/1.1 200 OK\r\n\r\n")

        tls = Tls("VAULT", cacert=str(certificate / "cert")).context()
        with Dripping(plain, tls=context) as there:
            vault = Vault(there.url, token=TOKEN, tls=tls)
            with pytest.raises(OutcomeUnknown, match="the encrypted connection broke off") as raised:
                store(vault)
            assert len(there.requests) == 1
            assert_silent(raised.value)
            vault.close()

    def test_a_certificate_that_nobody_vouches_for(self, context: ssl.SSLContext, certificate: Path) -> None:
        with listening(saying(answer(200, WRITTEN)), context) as there:
            vault = Vault(there.url, token=TOKEN)
            with pytest.raises(Unreachable, match="is not accepted") as raised:
                store(vault)
            assert "VAULT_CACERT" in raised.value.hint
            assert there.seen == []
            with pytest.raises(Unreachable, match="is not accepted"):
                vault.lock()
            assert there.connections == 2, "asked again it would be no better"
            vault.close()
            for tls in (Tls("VAULT", cacert=str(certificate / "cert")), Tls("VAULT", skip_verify=True)):
                with pytest.warns() if tls.skip_verify else contextlib.nullcontext():
                    vault = Vault(there.url, token=TOKEN, tls=tls.context())
                    assert vault.store("viewer", CREDENTIAL, 0).version == 1
                    vault.close()

    def test_never_from_https_to_http(self, context: ssl.SSLContext, certificate: Path) -> None:
        with listening(saying(answer(200, WRITTEN))) as plain:
            there = answer(307, Location=f"{plain.url}/v1/secret/data/nexus/viewer")
            with listening(saying(there), context) as standby:
                vault = Vault(standby.url, token=TOKEN, tls=Tls("VAULT", cacert=str(certificate / "cert")).context())
                with pytest.raises(Unsuitable, match="redirect"):
                    store(vault)
                vault.close()
            assert plain.seen == []


class TestSurroundings:
    def test_nothing_is_taken_from_them(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
        (tmp_path / ".netrc").chmod(0o600)
        (tmp_path / ".vault-token").write_text("canary-of-the-home")
        surroundings = {
            "HOME": str(tmp_path),
            "VAULT_TOKEN": "canary-of-the-environment",
            "VAULT_ADDR": "http://127.0.0.1:1",
            "VAULT_NAMESPACE": "canary",
            "HTTP_PROXY": "http://127.0.0.1:1",
            "http_proxy": "http://127.0.0.1:1",
            "REQUESTS_CA_BUNDLE": "/nowhere",
        }
        for name, value in surroundings.items():
            monkeypatch.setenv(name, value)
        with facing(saying(answer(404, {"errors": []}))) as (vault, there):
            assert vault.read("viewer") is None
        headers = there.seen[0].headers
        assert headers["x-vault-token"] == TOKEN.reveal()
        assert headers["x-vault-request"] == "true"
        assert not {"authorization", "x-vault-namespace"} & set(headers)

    def test_a_proxy_is_passed_in(self) -> None:
        with facing(saying(answer(404, {"errors": []}))) as (_, proxy):
            vault = Vault("http://vault.invalid:8200", token=TOKEN, proxies={"http": proxy.url})
            assert vault.read("viewer") is None
            assert proxy.seen[0].target == "http://vault.invalid:8200/v1/secret/data/nexus/viewer"
            assert "proxy-authorization" not in proxy.seen[0].headers
            vault.close()

    @pytest.mark.parametrize("scheme", ["http://", ""])
    def test_a_proxy_is_told_who_we_are_whoever_asks(self, scheme: str) -> None:
        """A secrets engine is asked directly, Vault itself by hvac; both over the same connections."""
        with facing(saying(answer(404, {"errors": []}, keep=True))) as (_, proxy):
            address = proxy.url.replace("http://", "http://us%40here:pass%3Aword@" if scheme else "")
            vault = Vault("http://vault.invalid:8200", token=TOKEN, proxies={"http": address}, connections=1)
            assert vault.read("viewer") is None
            with pytest.raises(ServiceError):
                vault.check([])
            assert proxy.connections == 1
            assert {seen.target.split("?")[0].rpartition("/")[2] for seen in proxy.seen} >= {"viewer", "health"}
            told = f"Basic {base64.b64encode(b'us@here:pass:word').decode()}" if scheme else None
            assert {seen.headers.get("proxy-authorization") for seen in proxy.seen} == {told}
            vault.close()

    def test_some_hosts_are_reached_without_the_proxy(self) -> None:
        with facing(saying(answer(404, {"errors": []}))) as (_, proxy):
            proxies = {"http": proxy.url, "no": ".invalid"}
            vault = Vault("http://vault.invalid:8200", token=TOKEN, proxies=proxies)
            with pytest.raises(Unreachable, match="no connection to Vault"):
                vault.read("viewer")
            assert proxy.seen == []
            vault.close()

    def test_the_namespace_goes_with_all_but_health(self) -> None:
        empty = saying(answer(200, {"data": {}}))
        with facing(empty, namespace="team") as (vault, there), pytest.raises(ServiceError):
            vault.check([])
        namespaces = {seen.target.partition("?")[0]: seen.headers.get("x-vault-namespace") for seen in there.seen}
        assert namespaces["/v1/sys/health"] is None
        assert namespaces["/v1/auth/token/lookup-self"] == "team"

    def test_a_health_that_stands_by_is_well(self) -> None:
        denied = saying(answer(403, {"errors": ["permission denied"]}))
        with facing(denied) as (vault, there), pytest.raises(AccessDenied):
            vault.check([])
        assert there.seen[0].target == "/v1/sys/health?standbyok=true&perfstandbyok=true"

    @pytest.mark.parametrize("token", ["", "s.canary\n", "s.canary\r\nX: y", "s. canary", "s.canäry", "s.canary\u2028"])
    def test_a_token_that_no_header_can_carry(self, token: str) -> None:
        with pytest.raises(UsageError) as raised:
            Vault("http://127.0.0.1:1", token=Secret(token))
        assert "canary" not in str(raised.value) + repr(raised.value) + raised.value.hint

    @pytest.mark.parametrize("addr", ["", "vault:8200", "ftp://vault", "https://", "https://user:pw@vault"])
    def test_an_address_that_is_none(self, addr: str) -> None:
        with pytest.raises(UsageError):
            Vault(addr, token=TOKEN)
        with pytest.raises(UsageError):
            Vault("http://127.0.0.1:1", token=TOKEN, namespace="a\nb")


class TestConnections:
    def test_they_are_kept_and_bounded(self) -> None:
        with facing(saying(answer(404, {"errors": []}, keep=True)), connections=12) as (vault, there):
            with ThreadPoolExecutor(32) as pool:
                assert set(pool.map(lambda _: vault.read("viewer"), range(200))) == {None}
            assert there.connections <= 12
            vault.close()

    def test_one_that_the_server_closed_is_replaced(self) -> None:
        with facing(saying(answer(200, WRITTEN))) as (vault, there):
            for _ in range(3):
                store(vault)
                time.sleep(0.05)
            assert there.connections == 3

    def test_the_trace_has_no_body(self) -> None:
        traced: list[tuple[str, str, int | None, float]] = []
        with facing(saying(answer(200, WRITTEN), RESET), trace=lambda *one: traced.append(one)) as (vault, _):
            store(vault)
            with pytest.raises(OutcomeUnknown):
                store(vault)
        path = "/v1/secret/data/nexus/viewer"
        assert [one[:3] for one in traced] == [("POST", path, 200), ("POST", path, None)]
        assert all(0 < one[3] < 5000 for one in traced)
