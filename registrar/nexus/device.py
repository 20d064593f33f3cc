"""The device login of Nexus: a code that a person types into a browser, on any machine, and the tokens it becomes.

Owns the polling and what its answers mean. Must never show the device code, nor poll faster than it is told to.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Unpack

from registrar.errors import AccessDenied, Rejected, StepFailed
from registrar.nexus.answers import elsewhere, error, said
from registrar.nexus.session import V1, V2, Anonymous
from registrar.nexus.wire import Answer, Failure, Repeat
from registrar.pool import Options
from registrar.secret import Secret
from registrar.uri import Uri

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_SLOWER_S: Final = 5
_AGAIN: Final = "registrar login"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person has to do within `expires_in_s`: open an address, and find this code there or type it."""

    device_code: Secret
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in_s: float
    interval_s: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """An access token, and what gets the next one without a person; Nexus never changes that."""

    access: Secret
    refresh: Secret | None


class DeviceLogin(Anonymous):
    """The device login through one registered application, which needs no secret for it."""

    def __init__(self, url: str, client_id: str, **options: Unpack[Options]) -> None:
        super().__init__(url, **options)
        self._client_id = client_id

    def begin(self) -> Grant | None:
        """A code for a person, or None where this Nexus has no device login."""
        doing = "beginning the device login"
        form = {"client_id": self._client_id}
        answer = self._wire.send("POST", V2.path("/oauth/device/code"), body=form, form=True, repeat=Repeat.UNSENT)
        if isinstance(answer, Answer) and elsewhere(answer):
            return None
        if isinstance(answer, Answer) and answer.ok and (grant := _grant(answer.content)):
            return grant
        if _error(answer) == "invalid_client":
            told = f"{doing}: Nexus knows no living application with the client id {self._client_id}"
            raise Rejected(told, hint="correct login_client_id in registrar.yaml, or --client-id")
        raise error(answer, doing, effect=False)

    def wait(self, grant: Grant, sleep: Callable[[float], None] = time.sleep) -> Tokens:
        """The tokens, once the person has agreed; AccessDenied where they did not, StepFailed where time ran out."""
        form: dict[str, str | Secret] = {"grant_type": _GRANT, "client_id": self._client_id}
        form["device_code"] = grant.device_code
        pause_s, ends = grant.interval_s, time.monotonic() + grant.expires_in_s
        while time.monotonic() < ends:
            sleep(pause_s)
            answer = self._token(form)
            if tokens := _tokens(answer):
                return tokens
            match _error(answer):
                case "authorization_pending":
                    pass
                case "slow_down":
                    pause_s += _SLOWER_S
                case "access_denied":
                    raise AccessDenied("the device login was denied in the browser", hint=_AGAIN)
                case "expired_token":
                    break
                case _ if isinstance(answer, Failure):  # the person may be at it, whatever the network does
                    pause_s += _SLOWER_S
                case _:
                    raise error(answer, "waiting for the device login", effect=False)
        raise StepFailed("the device login was not finished in time", hint=_AGAIN)

    def refreshed(self, refresh: Secret) -> Tokens:
        """New tokens without a person; AccessDenied where their time is over, or somebody has withdrawn them."""
        form: dict[str, str | Secret] = {"grant_type": "refresh_token", "client_id": self._client_id}
        form["refresh_token"] = refresh
        answer = self._token(form)
        if tokens := _tokens(answer):
            return Tokens(tokens.access, tokens.refresh or refresh)
        if _error(answer) in ("invalid_grant", "expired_token", "access_denied", "invalid_client"):
            raise AccessDenied("the session that registrar keeps has ended", hint=_AGAIN)
        raise error(answer, "renewing the session", effect=False)

    def _token(self, form: Mapping[str, str | Secret]) -> Answer | Failure:
        """Of v2; one stage has the codes there and the tokens in v1."""
        for generation in (V2, V1):
            path = generation.path("/oauth/token")
            answer = self._wire.send("POST", path, body=form, form=True, repeat=Repeat.UNSENT)
            if not (isinstance(answer, Answer) and elsewhere(answer)):
                break
        return answer


def _grant(content: object) -> Grant | None:
    if not isinstance(content, Mapping):
        return None
    try:
        device, user = content["device_code"], str(content["user_code"])
        plain, complete = str(content["verification_uri"]), str(content.get("verification_uri_complete") or "")
        expires, interval = float(content["expires_in"]), float(content.get("interval") or 5)
    except (LookupError, TypeError, ValueError):
        return None
    # of a server that does not know its own address, these are no addresses; and they are shown on a terminal
    plain, complete = _address(plain), _address(complete)
    return (
        Grant(device, _word(user), plain, complete, expires, max(interval, 1)) if isinstance(device, Secret) else None
    )


def _address(text: str) -> str:
    uri = Uri.parse(text)
    return text if text.isprintable() and uri.host and uri.scheme in ("http", "https") and " " not in text else ""


def _word(text: str) -> str:
    return re.sub(r"[^\w-]", "?", text[:64])


def _tokens(answer: Answer | Failure) -> Tokens | None:
    content = answer.content if isinstance(answer, Answer) and answer.ok else None
    if not isinstance(content, Mapping) or not isinstance(access := content.get("access_token"), Secret):
        return None
    refresh = content.get("refresh_token")
    return Tokens(access, refresh if isinstance(refresh, Secret) else None)


def _error(answer: Answer | Failure) -> str:
    """The OAuth error of an answer, if it is one."""
    if isinstance(answer, Failure) or not isinstance(answer.content, Mapping):
        return ""
    code = answer.content.get("error")
    return code if isinstance(code, str) else said(answer)
