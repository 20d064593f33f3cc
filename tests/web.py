"""Requests of tests by httpx to servers on loopback: nothing of the surroundings counts, no certificate is shown."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

# httpx would read the system's authorities for each client, which takes longer than most tests do
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client(**options: Any) -> httpx.Client:
    """A client of httpx's with these options."""
    return httpx.Client(verify=_NO_AUTHORITIES, trust_env=False, **options)


def get(url: str, **options: Any) -> httpx.Response:
    """One GET, by a connection of its own."""
    return request("GET", url, **options)


def post(url: str, **options: Any) -> httpx.Response:
    """One POST, by a connection of its own."""
    return request("POST", url, **options)


def request(method: str, url: str, **options: Any) -> httpx.Response:
    """One request, by a connection of its own."""
    return httpx.request(method, url, verify=_NO_AUTHORITIES, trust_env=False, **options)
