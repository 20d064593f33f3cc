"""Which proxy leads where: by scheme, and past whatever NO_PROXY names."""

from __future__ import annotations

import pytest

from registrar.proxies import proxy_for

PROXIES = {"http": "http://plain:3128", "https": "secure:3129"}


@pytest.mark.parametrize(
    ("url", "no", "proxy"),
    [
        ("http://vault.example.org:8200", "", "http://plain:3128"),
        ("https://vault.example.org:8200/base", "", "http://secure:3129"),
        ("ftp://vault.example.org", "", ""),
        ("http://127.0.0.1:8200", "", ""),
        ("http://localhost", "", ""),
        ("https://[::1]:8200", "", ""),
        ("https://vault.example.org:8200", "*", ""),
        ("https://vault.example.org:8200", "other, VAULT.example.org", ""),
        ("https://Vault.Example.Org:8200", "vault.example.org", ""),
        ("https://vault.example.org:8200", "example.org", ""),
        ("https://vault.example.org:8200", ".example.org", ""),
        ("https://vault.example.org:8200", "*.example.org", ""),
        ("https://vault.example.org:8200", "example.org:8200", ""),
        ("https://vault.example.org:8200", "example.org:8201", "http://secure:3129"),
        ("https://vault.example.org:8200", "ample.org", "http://secure:3129"),
        ("https://vault.example.org:8200", "10.0.0.0/8,,", "http://secure:3129"),
        ("https://10.1.2.3:8200", "10.0.0.0/8", ""),
        ("https://10.1.2.3:8200", "10.1.2.3", ""),
        ("https://11.1.2.3:8200", "10.0.0.0/8", "http://secure:3129"),
        ("https://[fd00::1]:8200", "fd00::/8", ""),
    ],
)
def test_the_proxy_of(url: str, no: str, proxy: str) -> None:
    assert proxy_for(url, PROXIES | {"no": no}) == proxy


def test_without_any() -> None:
    assert proxy_for("https://vault.example.org", {}) == ""
