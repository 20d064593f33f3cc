"""Whom both clients trust and what they show, over real sockets: nothing is sent to a server that is not trusted."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from registrar.config import Flags, Need, load
from registrar.errors import ServiceError, Unreachable, UsageError
from registrar.nexus import Nexus
from registrar.secret import Secret
from registrar.tls import Tls
from registrar.vault import Vault
from tests.contract.vault_wire import Wire, answer, listening
from tests.contract.wire import certified

TOKEN = Secret("canary-0123456789-of-the-token")
SERVICES = ("VAULT", "NEXUS")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """New folders by name."""
    return tmp_path_factory.mktemp


class Party:
    """Somebody with a certificate of their own making."""

    def __init__(self, folder: Path, host: str = "IP:127.0.0.1", years: tuple[int, int] = (2020, 2049)) -> None:
        self.context, self.certificate = certified(folder, host, years)
        self.folder, self.key = folder, folder / "key.pem"

    def asking(self, client: Party) -> ssl.SSLContext:
        """A server's context that lets in whoever shows that client's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client.certificate)
        return context


@pytest.fixture(scope="module")
def server(folders: Callable[[str], Path]) -> Party:
    return Party(folders("server"))


@pytest.fixture(scope="module")
def client(folders: Callable[[str], Path]) -> Party:
    return Party(folders("client"))


def asked(service: str, there: Wire, tls: Tls) -> ServiceError | None:
    """What becomes of one question, however the server answers it."""
    context = tls.context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # urllib3 warns of SKIP_VERIFY
        try:
            if service == "VAULT":
                with contextlib.closing(
                    Vault(there.url, token=TOKEN, tls=context, server_name=tls.server_name, timeout_s=5)
                ) as vault:
                    vault.read("viewer")
            else:
                with contextlib.closing(Nexus(there.url, token=TOKEN, tls=context, timeout_s=5)) as nexus:
                    nexus.all()
        except ServiceError as error:
            assert TOKEN.reveal() not in repr(vars(error))
            return error
    return None


def speaking(context: ssl.SSLContext) -> contextlib.AbstractContextManager[Wire]:
    return listening(lambda _: answer(404, {"errors": []}), context)


def untrusted(service: str, context: ssl.SSLContext, tls: Tls) -> ServiceError:
    """The error of a question that never left this machine."""
    with speaking(context) as there:
        error = asked(service, there, tls)
        assert there.seen == []
    assert isinstance(error, Unreachable)
    assert error.hint
    return error


def heard(service: str, context: ssl.SSLContext, tls: Tls) -> bool:
    """Whether a question arrived."""
    with speaking(context) as there:
        asked(service, there, tls)
        return bool(there.seen)


# ── the server's certificate ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", SERVICES)
class TestTrust:
    def test_the_authority_that_is_named(self, service: str, server: Party) -> None:
        assert heard(service, server.context, Tls(service, cacert=str(server.certificate)))

    def test_nobody_vouches_for_it(self, service: str, server: Party, client: Party) -> None:
        for tls in (Tls(service), Tls(service, cacert=str(client.certificate))):
            error = untrusted(service, server.context, tls)
            assert f"set {service}_CACERT" in error.hint

    def test_the_system_s_authorities_count_where_none_is_named(
        self, service: str, server: Party, client: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        assert heard(service, server.context, Tls(service))
        untrusted(service, server.context, Tls(service, cacert=str(client.certificate)))

    def test_the_system_s_are_not_read_before_a_server_shows_its_certificate(
        self, service: str, server: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        context = Tls(service).context()
        assert context.get_ca_certs() == []
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="vault.example.org")
        assert len(context.get_ca_certs()) == 1

    def test_it_has_expired(self, service: str, tmp_path: Path) -> None:
        old = Party(tmp_path, years=(2020, 2021))
        error = untrusted(service, old.context, Tls(service, cacert=str(old.certificate)))
        assert "expired" in error.message

    def test_it_is_not_valid_yet(self, service: str, tmp_path: Path) -> None:
        young = Party(tmp_path, years=(2040, 2049))
        error = untrusted(service, young.context, Tls(service, cacert=str(young.certificate)))
        assert "clock" in error.hint

    def test_it_is_for_another_host(self, service: str, tmp_path: Path) -> None:
        other = Party(tmp_path, "DNS:other.example.org")
        error = untrusted(service, other.context, Tls(service, cacert=str(other.certificate)))
        assert "host name of the certificate" in error.hint

    def test_skip_verify_beats_everything(self, service: str, tmp_path: Path, client: Party) -> None:
        worst = Party(tmp_path, "DNS:other.example.org", years=(2020, 2021))
        for tls in (Tls(service, skip_verify=True), Tls(service, cacert=str(client.certificate), skip_verify=True)):
            assert heard(service, worst.context, tls)

    def test_a_folder_of_plain_files(self, service: str, tmp_path: Path, server: Party, client: Party) -> None:
        (tmp_path / "below").mkdir()
        shutil.copy(client.certificate, tmp_path / "one.pem")
        shutil.copy(server.certificate, tmp_path / "below" / "two.crt")
        assert heard(service, server.context, Tls(service, capath=str(tmp_path)))
        (tmp_path / "below" / "two.crt").unlink()
        untrusted(service, server.context, Tls(service, capath=str(tmp_path)))
        # a file that is named leaves no folder to look into
        both = Tls(service, cacert=str(server.certificate), capath="/nowhere")
        assert heard(service, server.context, both)


def test_a_server_by_another_name(tmp_path: Path) -> None:
    named = Party(tmp_path, "DNS:vault.example.org")
    tls = Tls("VAULT", cacert=str(named.certificate), server_name="vault.example.org")
    assert heard("VAULT", named.context, tls)
    for other in (None, "other.example.org"):
        error = untrusted("VAULT", named.context, Tls("VAULT", cacert=tls.cacert, server_name=other))
        assert "VAULT_TLS_SERVER_NAME" in error.hint


# ── a certificate of ours ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", SERVICES)
class TestShown:
    def test_a_certificate_and_its_key(self, service: str, server: Party, client: Party, tmp_path: Path) -> None:
        context, cacert = server.asking(client), str(server.certificate)
        assert heard(service, context, Tls(service, cacert, None, str(client.certificate), str(client.key)))
        both = tmp_path / "both.pem"
        both.write_bytes(client.certificate.read_bytes() + client.key.read_bytes())
        assert heard(service, context, Tls(service, cacert, None, str(both)))

    def test_none_or_that_of_somebody_else(self, service: str, server: Party, client: Party) -> None:
        context, cacert = server.asking(client), str(server.certificate)
        for tls in (Tls(service, cacert), Tls(service, cacert, None, str(server.certificate), str(server.key))):
            with speaking(context) as there:
                error = asked(service, there, tls)
                assert there.seen == []
            assert isinstance(error, ServiceError)
            assert f"set {service}_CLIENT_CERT" in error.hint


def unfit(tls: Tls) -> str:
    with pytest.raises(UsageError) as raised:
        tls.context()
    assert raised.value.hint.startswith(f"name other files in {tls.service}_")
    return raised.value.message


@pytest.mark.parametrize("service", SERVICES)
class TestFiles:
    def test_no_certificate(self, service: str, tmp_path: Path, client: Party) -> None:
        page = tmp_path / "page.html"
        page.write_text("<!DOCTYPE html>")
        for file in (page, tmp_path, tmp_path / "none", client.key):
            said = f"{service}_CACERT: {file} holds no certificate in PEM format that can be read"
            assert unfit(Tls(service, cacert=str(file))) == said
            assert unfit(Tls(service, cacert=str(file), skip_verify=True)) == said
        assert unfit(Tls(service, capath=str(tmp_path))) == (
            f"{service}_CAPATH: {page} holds no certificate in PEM format that can be read"
        )

    def test_a_folder_without_files(self, service: str, tmp_path: Path, client: Party) -> None:
        (tmp_path / "below").mkdir()
        for path in (tmp_path, client.certificate):
            assert unfit(Tls(service, capath=str(path))) == f"{service}_CAPATH: {path} has no files"

    def test_a_key_of_another_certificate(self, service: str, server: Party, client: Party) -> None:
        assert unfit(Tls(service, client_cert=str(client.certificate), client_key=str(server.key))) == (
            f"{service}_CLIENT_CERT: {client.certificate} does not belong to {service}_CLIENT_KEY"
        )

    @pytest.mark.parametrize("form", ["pkcs8", "traditional"])
    def test_a_key_with_a_passphrase(self, service: str, form: str, tmp_path: Path, client: Party) -> None:
        locked = tmp_path / "locked.pem"
        how = ["pkcs8", "-topk8"] if form == "pkcs8" else ["ec", "-aes256"]
        command = ["openssl", *how, "-in", str(client.key), "-passout", "pass:canary", "-out", str(locked)]
        subprocess.run(command, check=True, capture_output=True)
        assert unfit(Tls(service, client_cert=str(client.certificate), client_key=str(locked))) == (
            f"{service}_CLIENT_CERT: {client.certificate} has a key with a passphrase, which nobody can type here"
        )

    def test_no_key(self, service: str, tmp_path: Path, client: Party) -> None:
        (tmp_path / "empty").touch()
        pairs = [(client.certificate, None), (client.key, client.key), (client.certificate, tmp_path / "none")]
        for certificate, key in [*pairs, (client.certificate, tmp_path / "empty"), (tmp_path, client.key)]:
            said = unfit(Tls(service, client_cert=str(certificate), client_key=str(key) if key else None))
            assert said == f"{service}_CLIENT_CERT: {certificate} and its key cannot be read as PEM"


# ── the variables ─────────────────────────────────────────────────────────────────────────────────────────────────────

WHERE = {
    "VAULT": {"VAULT_ADDR": "https://vault.example.org"},
    "NEXUS": {"NEXUS_URL": "https://nexus.example.org"},
}


@pytest.mark.parametrize("service", SERVICES)
class TestVariables:
    def load(self, service: str, cwd: Path, **variables: str) -> Tls:
        environ = WHERE[service] | {f"{service}_{name}": value for name, value in variables.items()}
        settings = load(Flags(), environ, cwd, need=Need[service])
        return settings.vault.tls if service == "VAULT" else settings.nexus.tls

    def test_each(self, service: str, client: Party, tmp_path: Path) -> None:
        certificate, key = str(client.certificate), str(client.key)
        assert self.load(service, tmp_path, CACERT="", SKIP_VERIFY="f", TLS_SERVER_NAME="") == Tls(service)
        told = self.load(
            service, tmp_path, CACERT=certificate, CAPATH="/", CLIENT_CERT=certificate, CLIENT_KEY=key, SKIP_VERIFY="1"
        )
        assert told == Tls(service, certificate, "/", certificate, key, skip_verify=True)

    def test_a_key_without_a_certificate(self, service: str, client: Party, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=f"{service}_CLIENT_KEY is nothing without {service}_CLIENT_CERT"):
            self.load(service, tmp_path, CLIENT_KEY=str(client.key))

    @pytest.mark.parametrize("name", ["CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY"])
    @pytest.mark.parametrize("path", ["/nowhere/file", "/dev/null/file", "/" + "x" * 300])
    def test_what_cannot_be_looked_at(self, service: str, name: str, path: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=f"^{service}_{name} is {path}, which cannot be read: [A-Z]") as raised:
            self.load(service, tmp_path, **{name: path})
        assert raised.value.hint == f"mend or unset {service}_{name}"
