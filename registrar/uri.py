"""A URI as a browser takes it apart, and what can be wrong with one.

A fault is said in words that follow "the redirect URI", and is empty where all is well. Must never normalise: the text
stays as it was written, since Nexus compares byte for byte.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_NOISE: Final = re.compile(r"[\t\r\n]|^[\x00-\x20]+|[\x00-\x20]+$")
_AUTHORITY_END: Final = re.compile(r"[/?#\\]")
# As nearly all are; urlsplit has them in the same parts, and takes five times as long.
_ORDINARY: Final = re.compile(r"(https?)://([a-z0-9.-]+)((?:/[\w.~-]*)*)", re.ASCII)
_HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?")


class Uri(NamedTuple):
    """A URI as a browser would take it apart, beside the text as it was written."""

    text: str
    scheme: str = ""
    userinfo: bool = False
    host: str = ""
    port: str | None = None
    path: str = ""
    query: str | None = None

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Take a text apart; one that cannot be read as a URI has no parts."""
        if ordinary := _ORDINARY.fullmatch(text):
            scheme, host, path = ordinary.groups()
            return cls(text, scheme, host=host, path=path)
        # Browsers drop tabs and line breaks and trim the ends before they look at the scheme (WHATWG URL §4.4), and
        # Python does so in some releases only.
        plain = _NOISE.sub("", text)
        try:
            parts = urlsplit(plain)
        except ValueError:
            return cls(text)
        match = _HOST_AND_PORT.fullmatch(parts.netloc.rpartition("@")[2])
        host, port = match.groups() if match else ("", None)
        query = parts.query if "?" in plain.partition("#")[0] else None
        return cls(text, parts.scheme, "@" in parts.netloc, host.lower(), port, parts.path, query)

    @property
    def loopback(self) -> bool:
        """Whether the host is this very machine, written in one of the forms that mean nothing else."""
        address = self.address
        if isinstance(address, ipaddress.IPv6Address):  # whether a mapped 127.0.0.1 is one depends on Python's release
            return address == ipaddress.IPv6Address("::1")
        return self.host == "localhost" if address is None else address.is_loopback

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an IP address, where it is one in its usual spelling."""
        if self.host.startswith("["):
            return _ipv6(self.host)
        if not self.host[-1:].isdigit():
            return None
        try:
            return ipaddress.IPv4Address(self.host)
        except ValueError:
            return None

    @property
    def authority(self) -> str:
        """What stands between // and the path, as it was written."""
        return _AUTHORITY_END.split(self.text.partition("://")[2], maxsplit=1)[0]


def _ipv6(host: str) -> ipaddress.IPv6Address | None:
    """The address in brackets; none with a zone, which means something on one machine only (RFC 6874)."""
    try:
        address = ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return None
    return None if address.scope_id else address


def incomplete(uri: Uri) -> str:
    """What is missing or impossible among scheme, host and port."""
    if not uri.text:
        return "is empty"
    if not uri.scheme:
        return "is not an absolute URI"
    if not uri.host:
        return "has no host"
    if uri.host.startswith("[") and not _ipv6(uri.host):
        return "has a host in brackets that is not an IPv6 address"
    if uri.port is not None and not (re.fullmatch(r"[0-9]{1,5}", uri.port) and 0 < int(uri.port) < 65536):
        return "has a port that is not a number from 1 to 65535"
    return ""


DANGEROUS: Final = frozenset(["javascript", "data", "vbscript", "file", "ftp", "blob", "about", "view-source"])
"""Schemes that a browser acts upon itself."""


def unfit_scheme(uri: Uri) -> str:
    """Why the scheme does not keep what is sent there, above all a code or a credential, from others."""
    if uri.scheme in ("", "https") or (uri.scheme == "http" and (uri.loopback or not uri.host)):
        return ""
    if uri.scheme == "http":
        return "is http to another machine: everything sent there travels in the clear"
    if uri.scheme in DANGEROUS:
        return f"has the scheme {uri.scheme}:, which a browser runs or opens instead of sending it anywhere"
    return f"has the scheme {uri.scheme}: where only https will do"


def userinfo(uri: Uri) -> str:
    """Whether the host is hidden behind user information."""
    return "has user information before an @, which hides the real host" if uri.userinfo else ""


_PLAIN: Final = re.compile(r"[\w!#$&'()*+,./:;=?@~\[\]{}-]*", re.ASCII)  # what none of the following is about
_UNSAFE: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"\\|%5c", "a backslash"),
        (r"[\x00-\x1f\x7f-\x9f]|%[01][0-9a-f]|%7f", "a control character"),
        (r" ", "a space"),
        (r"[^\x00-\x9f]", "a character that is not ASCII"),
        (r"%(?![0-9a-f]{2})", "a percent sign without two hexadecimal digits"),
        (r"%2e", "an encoded dot"),
        (r"[\"<>^`|]", "a character that no URI may have"),
        (r"^[^/?#]*//[^/?#]*%", "percent-encoding in the host"),
    )
)


def unsafe(uri: Uri) -> str:
    """What parsers are known to read in different ways."""
    plain = _PLAIN.fullmatch(uri.text)
    found = [] if plain else [words for pattern, words in _UNSAFE if pattern.search(uri.text)]
    if "//" in uri.path:
        found.append("an empty path segment")
    # Servlet containers cut `;…` off a segment before they resolve the dots, so `..;` climbs as well.
    if "/." in uri.path and any(part.partition(";")[0] in (".", "..") for part in uri.path.split("/")[1:]):
        found.append("a path segment that is `.` or `..`")
    if "[" in uri.path or "]" in uri.path:
        found.append("a bracket in its path")
    return f"has {', '.join(found)}" if found else ""


def address_faults(uri: Uri) -> Iterator[str]:
    """What keeps a URL from being the address of a site or service: absolute https, or http on loopback, no more."""
    for fault in (incomplete(uri), unfit_scheme(uri), userinfo(uri), unsafe(uri)):
        if fault:
            yield fault
    if "?" in uri.text:
        yield "has a query"
    if "#" in uri.text:
        yield "has a fragment"
