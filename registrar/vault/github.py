"""The id token of a GitHub Actions job, which Vault's JWT method knows it by.

Owns the one request to GitHub. Must never let the tokens of either side into a message, nor follow a redirect with one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from urllib3.exceptions import HTTPError

from registrar.errors import AccessDenied, Unreachable
from registrar.pool import Pool, content
from registrar.secret import Secret
from registrar.tls import Tls

_TIMEOUT_S: Final = 30
_LIMIT_BYTES: Final = 1 << 20


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
    if not url.startswith(("https://", "http://")):
        return "its address is none"
    pool = Pool(Tls("GITHUB").context(), proxies=proxies)
    if audience:
        url = f"{url}{'&' if '?' in url else '?'}{urlencode({'audience': audience})}"
    ends = time.monotonic() + _TIMEOUT_S
    try:
        answer = pool.request("GET", url, headers={"Authorization": f"Bearer {token.reveal()}"}, timeout_s=_TIMEOUT_S)
        text = content(answer, _LIMIT_BYTES, ends)
    except (OSError, HTTPError) as error:  # which hold the request
        return type(error).__name__
    finally:
        pool.close()
    found = _value(text) if answer.status == 200 else None
    return found or answer.status


def _value(text: bytes) -> Secret | None:
    try:
        value = json.loads(text).get("value")
    except (ValueError, AttributeError, RecursionError):
        return None
    return Secret(value) if isinstance(value, str) else None
