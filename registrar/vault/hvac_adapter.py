"""hvac's adapter over the connections of a Pool: for the few questions of a run that are put to Vault itself.

Imported when the first of them is asked: hvac and requests take longer to import than a credential to fetch. Must never
take anything from the surroundings, which requests would: proxies, certificates, a ~/.netrc.
"""

from __future__ import annotations

from typing import Any

import requests
from hvac.adapters import RawAdapter
from requests.adapters import HTTPAdapter

from registrar.pool import Pool


def adapter(origin: str, namespace: str, pool: Pool) -> RawAdapter:
    """Not hvac's Client: that one reads VAULT_* and ~/.vault-token and, in 1.0, replaces `cert`."""
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    session.mount("https://", _Lent(pool))
    session.mount("http://", _Lent(pool))
    # requests turns a redirected POST into a GET, whose 200 would read as written
    return RawAdapter(origin, session=session, namespace=namespace or None, allow_redirects=False)


class _Lent(HTTPAdapter):
    """requests without connections of its own."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def send(self, request: Any, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        method, url, headers, body = request.method, request.url, request.headers, request.body
        return self.build_response(
            request, self._pool.request(method, url, headers=headers, body=body, timeout_s=timeout)
        )
