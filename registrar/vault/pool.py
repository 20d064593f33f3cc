"""Connections to Vault by urllib3: kept, bounded, to one address directly or by a proxy.

Owns the pool, which certificates count and which proxy is used. Must never follow a redirect or send anything twice,
and knows nothing of what is sent. hvac, for the few questions that are its, is lent the same connections.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, ProxyManager
from urllib3.util import make_headers

from registrar.proxies import proxy_for

_CHUNK_BYTES: Final = 64 << 10


class Pool:
    """Connections to any number of servers, at most so many to each; safe to share between threads."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        server_name: str | None = None,
        proxies: Mapping[str, str] | None = None,
        connections: int = 1,
    ) -> None:
        self._proxies = dict(proxies or {})
        self._options: dict[str, Any] = {
            "maxsize": connections,
            "block": True,
            # by this context alone: the system's certificates and not certifi's, an agency's own are installed there
            "ssl_context": tls,
            "cert_reqs": tls.verify_mode,
        }
        if server_name:
            self._options["server_hostname"] = server_name
        self._managers: dict[str, PoolManager] = {}
        self._routes: dict[str, _Route] = {}
        self._choosing = threading.Lock()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, timeout_s: float
    ) -> BaseHTTPResponse:
        """The answer, whose content is yet to be read; OSError or urllib3's HTTPError where there is none."""
        scheme, _, rest = url.partition("://")
        host, _, target = rest.partition("/")
        route = self._route(f"{scheme}://{host}")
        return route.connections.urlopen(
            method,
            url if route.whole else f"/{target}",
            headers=headers,
            body=body,
            timeout=timeout_s,
            redirect=False,
            retries=False,
            assert_same_host=False,
            preload_content=False,
        )

    def close(self) -> None:
        """End the connections that nobody uses."""
        for manager in self._managers.values():
            manager.clear()

    def _route(self, origin: str) -> _Route:
        """The way to this server: chosen once, since every request of a run takes it."""
        with self._choosing:
            if origin not in self._routes:
                proxy = proxy_for(origin, self._proxies)
                if proxy not in self._managers:
                    self._managers[proxy] = self._manager(proxy)
                whole = bool(proxy) and origin.startswith("http:")  # a proxy is told where to, unless by a tunnel
                self._routes[origin] = _Route(self._managers[proxy].connection_from_url(origin), whole)
            return self._routes[origin]

    def _manager(self, proxy: str) -> PoolManager:
        if not proxy:
            return PoolManager(**self._options)
        return ProxyManager(proxy, proxy_headers=_identity(proxy), **self._options)


class _Route(NamedTuple):
    """Connections to one server, and whether requests name it as a whole address."""

    connections: HTTPConnectionPool
    whole: bool


def content(response: BaseHTTPResponse, limit_bytes: int) -> bytes:
    """The whole body, or nothing where it is longer than that; the connection goes back, or ends with what is left."""
    found = bytearray()
    try:
        for chunk in response.stream(_CHUNK_BYTES):
            found += chunk
            if len(found) > limit_bytes:
                return b""
    finally:
        response.close()
        response.release_conn()
    return bytes(found)


def _identity(proxy: str) -> dict[str, str]:
    """Who we are to a proxy whose address says so."""
    there = urlsplit(proxy)
    if there.username is None:
        return {}
    return make_headers(proxy_basic_auth=f"{unquote(there.username)}:{unquote(there.password or '')}")
