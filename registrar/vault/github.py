"""The id token of a GitHub Actions job, which Vault's JWT method knows it by.

Owns the one request to GitHub. Must never let the tokens of either side into a message, nor follow a redirect with one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import requests
from urllib3.exceptions import HTTPError

from registrar.errors import AccessDenied, Unreachable
from registrar.secret import Secret
from registrar.tls import Tls
from registrar.vault.wire import SystemTls, proxies_for

_TIMEOUT_S: Final = 30


def id_token(url: str, token: Secret, audience: str, proxies: Mapping[str, str]) -> Secret:
    """A fresh id token, for this audience or GitHub's usual one, the address of the repository's owner."""
    outcome = _outcome(url, token, audience, proxies)
    if isinstance(outcome, Secret):
        return outcome
    if isinstance(outcome, int):
        raise AccessDenied(
            f"GitHub gives this job no id token ({outcome})", hint="permissions: id-token: write, in the job"
        )
    raise Unreachable(f"no answer of GitHub about an id token ({outcome})", hint="run the job again")


def _outcome(url: str, token: Secret, audience: str, proxies: Mapping[str, str]) -> Secret | int | str:
    """The id token, the status of an answer without one, or what kept the answer away."""
    with requests.Session() as session:
        session.trust_env = False
        # the system's certificates, as for Vault: requests has its own, which lack those of an agency or its proxy
        session.mount("https://", SystemTls(Tls("GITHUB").context(), None))
        try:
            answer = session.get(
                url,
                params={"audience": audience} if audience else None,
                headers={"Authorization": f"Bearer {token.reveal()}"},
                proxies=proxies_for(url, proxies),
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
        # OSError: every exception of requests is one, and holds the request; of older ones urllib3's come through
        except (OSError, HTTPError) as error:
            return type(error).__name__
    found = _value(answer.content) if answer.status_code == 200 else None
    return found or int(answer.status_code)


def _value(text: bytes) -> Secret | None:
    try:
        value = json.loads(text).get("value")
    except (ValueError, AttributeError, RecursionError):
        return None
    return Secret(value) if isinstance(value, str) else None
