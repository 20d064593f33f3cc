"""Which proxy leads to a server, out of those that the environment names.

Pure. Must never read the environment, which `config` does, nor show a proxy's address, which may have a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from registrar.uri import Uri


def proxy_for(url: str, proxies: Mapping[str, str]) -> str:
    """The proxy for this address or none: those by scheme, and under `no`, as in NO_PROXY, what is reached without one.

    Nobody's own machine is reached by one.
    """
    there = urlsplit(url)
    proxy = proxies.get(there.scheme, "")
    if not proxy or Uri.parse(url).loopback:
        return ""
    host, place = there.hostname or "", there.netloc.rpartition("@")[2].lower()
    words = (word.strip().lower() for word in proxies.get("no", "").split(","))
    if any(_means(word, host, place) for word in words if word):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _means(word: str, host: str, place: str) -> bool:
    """Whether a word means this host: its name or a domain it is in, either with or without the port, or a network."""
    from ipaddress import ip_address, ip_network

    with suppress(ValueError):  # one of the two is a name
        return ip_address(host) in ip_network(word, strict=False)
    return word == "*" or any(f".{one}".endswith(f".{word.lstrip('*.')}") for one in (host, place))
