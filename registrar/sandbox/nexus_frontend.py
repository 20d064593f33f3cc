"""Nexus's web frontend: who is signed in in a browser, the proxy to authorize, and the page that approves a device.

Real sign-in is the laboratory's; here a user is chosen from a list. Owns where a browser may be sent from here, and
which requests it may have been made to send by another site; how pages look is theirs.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlencode

from registrar.sandbox import nexus_pages as pages
from registrar.sandbox.aspnet import Endpoint, Values
from registrar.sandbox.dotnet_errors import OauthError
from registrar.sandbox.http import Answer, Request
from registrar.sandbox.nexus_device import Devices
from registrar.sandbox.nexus_pages import Asking
from registrar.sandbox.nexus_sessions import Sessions
from registrar.sandbox.nexus_store import Applications, User

Page = Callable[[Request], Answer]

_AUTHORIZE, _DEVICE = "/api/oauth/authorize", "/oauth/device/verify"
# the only places to which a returnUrl leads, whole: no host, no other path, nothing that a header cannot hold
_RETURN = re.compile(rf"(?:{_AUTHORIZE}|{_DEVICE})(?:\?[!-~]*)?")
_HOME = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?", re.IGNORECASE)
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": pages.POLICY,
    # not no-referrer, with which browsers hide the origin of a form from its own site too
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Frontend:
    """The pages of one Nexus; `authorize` is its backend's, called as a user."""

    def __init__(
        self,
        sessions: Sessions,
        applications: Applications,
        devices: Devices,
        authorize: Callable[[Request, User], Answer],
        *,
        device_codes: bool,
    ) -> None:
        self._sessions = sessions
        self._applications = applications
        self._devices = devices
        self._backend_authorize = authorize
        self._device_codes = device_codes

    def routes(self) -> Iterator[tuple[str, str, Endpoint]]:
        """Method, template and endpoint of each page."""
        for method, path, page in self._pages():
            yield method, path[1:], functools.partial(_guarded, page)

    def _pages(self) -> Iterator[tuple[str, str, Page]]:
        yield "GET", "/", self._start
        yield "GET", "/login/signin", self._ask
        yield "POST", "/login/signin", self._sign_in
        yield "POST", "/login/signout", self._sign_out
        yield "GET", _AUTHORIZE, self._authorize
        if self._device_codes:
            yield "GET", _DEVICE, self._look_up_device
            yield "POST", _DEVICE, self._decide_device

    # Signing in and out

    def _start(self, request: Request) -> Answer:
        user, rows = self._sessions.user_of(request), self._applications.everything(hide_archived=True)
        return _page(200, pages.start(user, rows, device_codes=self._device_codes))

    def _ask(self, request: Request) -> Answer:
        return_url = _return_url(dict(request.query))
        return _page(200, pages.sign_in(return_url, self._asking(return_url), self._sessions.user_of(request)))

    def _sign_in(self, request: Request) -> Answer:
        form = dict(request.form)
        return_url, chosen = _return_url(form), form.get("user", "")
        if chosen == "none":
            return _page(200, pages.stayed_out(self._asking(return_url)))
        user_id = int(chosen) if re.fullmatch("[0-9]{1,9}", chosen) else 0
        cookie = self._sessions.begin(request, user_id)
        if cookie is None:
            return _page(400, pages.refused("No such user", "Go back, and choose one of those that are listed."))
        return _redirect(303, return_url or "/", cookie)

    def _sign_out(self, request: Request) -> Answer:
        return _redirect(303, "/", self._sessions.end(request))

    def _asking(self, return_url: str) -> Asking | None:
        """The application that sent the browser to authorize, None where none did."""
        if not return_url.startswith(_AUTHORIZE):
            return None
        client_id = dict(parse_qsl(return_url.partition("?")[2])).get("client_id", "")
        row = self._applications.of_client(client_id)
        return Asking(row["name"], row["callbackUrl"]) if row else Asking("", "")

    # The proxy

    def _authorize(self, request: Request) -> Answer:
        user = self._sessions.user_of(request)
        if user is None:
            return _to_sign_in(request, _AUTHORIZE)
        # the proxy sends neither the browser's headers nor the first of twins
        forwarded = dataclasses.replace(request, headers={}, query_string=urlencode(dict(request.query)))
        answer = self._backend_authorize(forwarded, user)
        if answer.status == 302:
            return Answer(302, headers={"location": answer.headers["location"]})
        return Answer(answer.status, answer.body, {"content-type": "application/json"})

    # Devices

    def _look_up_device(self, request: Request) -> Answer:
        user, user_code = self._sessions.user_of(request), dict(request.query).get("user_code", "")
        if user is None:
            return _to_sign_in(request, _DEVICE)
        if not user_code.strip():
            return _page(200, pages.device_code(user, ""))
        try:
            found = self._devices.look_up(user_code)
        except OauthError as error:
            return _page(error.status, pages.device_code(user, user_code, str(error)))
        if found["status"] != "pending":
            told = f"Device authorization request is {found['status']}"
            return _page(400, pages.device_code(user, user_code, told))
        return _page(200, pages.device_decision(user, found))

    def _decide_device(self, request: Request) -> Answer:
        user, form = self._sessions.user_of(request), dict(request.form)
        user_code, answer = form.get("user_code", ""), form.get("answer", "")
        if user is None:
            return _redirect(303, f"{_DEVICE}?{urlencode({'user_code': user_code})}")
        if answer not in ("approve", "deny"):
            return _page(400, pages.refused("No answer", "Approve or deny: this was neither."))
        try:
            found = self._devices.decide(user_code, user.id, approve=answer == "approve")
        except OauthError as error:
            return _page(error.status, pages.device_code(user, user_code, str(error)))
        return _page(200, pages.device_decided(user, found))


def _guarded(page: Page, request: Request, values: Values) -> Answer:  # noqa: ARG001 - no route here has values
    """`page` under this machine's own names, and for no form of another site."""
    host = request.headers.get("host", "")
    if not _HOME.fullmatch(host):
        # nothing else protects a sign-in without a password from a page whose name was turned to this address
        told = "The sandbox signs users in under 127.0.0.1 and localhost alone."
        return _page(421, pages.refused("Not at this address", told))
    sender = request.headers.get("origin") or request.headers.get("referer", "")
    if request.method == "POST" and sender.partition("://")[2].partition("/")[0] != host:
        return _page(403, pages.refused("Refused", "It did not come from a page of this site, so nothing was done."))
    return page(request)


def _return_url(given: dict[str, str]) -> str:
    """Where to go on, empty for anything but the two places that send a browser here."""
    wanted = given.get("returnUrl", "")
    return wanted if _RETURN.fullmatch(wanted) else ""


def _to_sign_in(request: Request, path: str) -> Answer:
    here = f"{path}?{request.query_string}" if request.query_string else path
    return _redirect(307, f"http://{request.headers['host']}/login/signin?{urlencode({'returnUrl': here})}")


def _redirect(status: int, location: str, cookie: str = "") -> Answer:
    headers = {"location": location, "cache-control": "no-store"}
    return Answer(status, headers=headers | ({"set-cookie": cookie} if cookie else {}))


def _page(status: int, body: bytes) -> Answer:
    return Answer(status, body, _HEADERS)
