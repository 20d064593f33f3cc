"""Which certificates to trust and which to show to both services, and what a refusal comes down to.

Owns the reading of certificate files. Must never ask for a passphrase: a pipeline has nobody to type it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Never

from registrar.errors import UsageError

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of one service, whose variables are named after it: VAULT_CACERT, NEXUS_CLIENT_CERT."""

    service: str
    cacert: str | None = None
    capath: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None
    skip_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """What a connection needs; a UsageError names the variable whose file will not do."""
        import ssl  # only where something connects: `validate` does not

        from registrar.trust import SystemTrust

        named = self.cacert or self.capath
        # the system's else: an agency's own authority is installed there
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if named else SystemTrust(ssl.PROTOCOL_TLS_CLIENT)
        for variable, file in self._authorities():
            self._trust(context, variable, file)
        if self.skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.client_cert:
            self._show(context, self.client_cert)
        return context

    def _authorities(self) -> Iterator[tuple[str, Path]]:
        """Every file to trust with the variable that names it; the path counts where there is no file, as in Vault."""
        if self.cacert:
            yield f"{self.service}_CACERT", Path(self.cacert)
        elif self.capath:
            # OpenSSL would look for names that are hashes, which Vault's own client does not ask for
            files = sorted(file for file in Path(self.capath).rglob("*") if file.is_file())
            yield from ((f"{self.service}_CAPATH", file) for file in files)
            if not files:
                raise self._unfit(f"{self.service}_CAPATH", Path(self.capath), "has no files")

    def _trust(self, context: ssl.SSLContext, variable: str, file: Path) -> None:
        try:
            context.load_verify_locations(cafile=file)
        except OSError:  # ssl.SSLError is one
            pass
        else:
            return
        raise self._unfit(variable, file, "holds no certificate in PEM format that can be read")

    def _show(self, context: ssl.SSLContext, certificate: str) -> None:
        variable = f"{self.service}_CLIENT_CERT"

        def passphrase() -> Never:  # OpenSSL would ask on the terminal
            why = "has a key with a passphrase, which nobody can type here"
            raise self._unfit(variable, Path(certificate), why)

        try:
            context.load_cert_chain(certificate, self.client_key, passphrase)
        except OSError as error:
            alien = getattr(error, "reason", None) == "KEY_VALUES_MISMATCH"
        else:
            return
        why = f"does not belong to {self.service}_CLIENT_KEY" if alien else "and its key cannot be read as PEM"
        raise self._unfit(variable, Path(certificate), why)

    def _unfit(self, variable: str, file: Path, why: str) -> UsageError:
        return UsageError(f"{variable}: {file} {why}", hint=f"name other files in {self.service}_…, in PEM format")


class Refusal(NamedTuple):
    """Why both sides did not come to terms, in OpenSSL's words, and what to do about it."""

    reason: str
    hint: str


_CERTIFICATES: Final = {
    9: "check the clock of this machine: the certificate is not valid yet",
    10: "have the server's certificate put right; nothing was sent",
    62: "use the host name of the certificate in {address}{or_else}",
    64: "use the host name of the certificate in {address}{or_else}",
}
"""By OpenSSL's X509_V_ERR number; every other one is a matter of trust."""

_UNTRUSTED: Final = "set {service}_CACERT to the file with the certificate of its authority"
_CHECK: Final = "check https and the port in {address}"
_SHOW: Final = "set {service}_CLIENT_CERT and {service}_CLIENT_KEY to a certificate that it accepts"
_OURS_REFUSED: Final = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)
"""How a server turns away whom it does not know, before it reads what TLS 1.3 lets a client send first."""


def refusal(error: ssl.SSLError, service: str, address: str) -> Refusal:
    """What a failed handshake comes down to; `address` is the setting that says where the service is."""
    import ssl

    or_else = ", or set VAULT_TLS_SERVER_NAME to it" if service == "VAULT" else ""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason, hint = error.verify_message, _CERTIFICATES.get(error.verify_code, _UNTRUSTED)
    else:
        reason, hint = (error.reason or "no agreement").replace("_", " ").lower(), _SHOW if unread(error) else _CHECK
    return Refusal(reason, hint.format(service=service, address=address, or_else=or_else))


def unread(error: ssl.SSLError) -> bool:
    """Whether it is the server that ended the handshake, having read nothing of what we may have sent by then."""
    return error.reason in _OURS_REFUSED


class Seen(NamedTuple):
    """What a server shows in a handshake; `days` are those that its certificate, if it was checked, is still good."""

    protocol: str
    issuer: str = ""
    days: int | None = None


def look(url: str, tls: Tls, timeout_s: float) -> Seen | None:
    """A handshake and no more; None for http and where it fails, of which a request will tell."""
    import socket
    import ssl
    import time
    from urllib.parse import urlsplit

    there = urlsplit(url)
    if there.scheme != "https" or not there.hostname:
        return None
    try:
        with (
            socket.create_connection((there.hostname, there.port or 443), timeout_s) as connection,
            tls.context().wrap_socket(connection, server_hostname=tls.server_name or there.hostname) as encrypted,
        ):
            certificate: Any = encrypted.getpeercert()
            protocol = (encrypted.version() or "").replace("v", " ")
    except OSError:
        return None
    if not certificate:  # it was not checked, and is not told then
        return Seen(protocol)
    issuer = dict(pair for part in certificate["issuer"] for pair in part)
    left_s = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    return Seen(protocol, issuer.get("commonName") or issuer.get("organizationName", ""), int(left_s // 86_400))
