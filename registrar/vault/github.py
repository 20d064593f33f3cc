"""The id token of a GitHub Actions job, which Vault's JWT method knows it by.

Owns the one request to GitHub. Must never let the tokens of either side into a message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import requests

from registrar.errors import AccessDenied, Unreachable
from registrar.secret import Secret

_TIMEOUT_S: Final = 30


def id_token(url: str, token: Secret, audience: str, proxies: Mapping[str, str]) -> Secret:
    """A fresh id token, for this audience or GitHub's usual one, the address of the repository's owner."""
    where = f"{url}&audience={quote(audience, safe='')}" if audience else url
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {scheme: proxy for scheme, proxy in proxies.items() if scheme != "no"}
            headers = {"Authorization": f"Bearer {token.reveal()}"}
            answer = session.get(where, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False)
            status, text = answer.status_code, answer.content
    except OSError as error:  # every exception of requests is one, and holds the request
        reason = type(error).__name__
    else:
        found = _value(text) if status == 200 else None
        if found:
            return found
        raise AccessDenied(
            f"GitHub gives this job no id token ({status})", hint="permissions: id-token: write, in the job"
        )
    raise Unreachable(f"no answer of GitHub about an id token ({reason})", hint="run the job again")


def _value(text: bytes) -> Secret | None:
    try:
        value = json.loads(text).get("value")
    except (ValueError, AttributeError):
        return None
    return Secret(value) if isinstance(value, str) and value else None
