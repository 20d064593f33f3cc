"""The frontend's pages as HTML: what they say and how they look, without a script and without anything from elsewhere.

Every text becomes markup in `element`, which escapes it; a page decides nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple
from urllib.parse import urlencode

from registrar.sandbox.nexus_store import USERS, User

_VOID = ("input", "meta")
_NAME = "Nexus sandbox"
_STYLE = """
:root { color-scheme: light dark; --page: #eef1f5; --card: #fff; --text: #1b2430; --soft: #556172; --line: #c9d0da;
  --key: #1d5fa8; --key-text: #fff; --tag: #fdf0d3; --tag-text: #6a4700; --bad: #a8201a }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1c222b; --text: #e8ecf2; --soft: #a5b0bf;
  --line: #3d4756; --key: #7db4f0; --key-text: #0d1b2a; --tag: #463813; --tag-text: #f6dc9c; --bad: #ff9d94 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { width: 100%; max-width: 27rem; min-width: 0; padding: 1.5rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; overflow-wrap: anywhere }
header { display: flex; flex-wrap: wrap; gap: .25rem .75rem; justify-content: space-between; font-size: .875rem;
  color: var(--soft) }
.tag { padding: 0 .5rem; border-radius: 1rem; background: var(--tag); color: var(--tag-text) }
h1 { margin: 1rem 0 .5rem; font-size: 1.5rem; line-height: 1.25 }
h2 { margin: 1.5rem 0 .25rem; font-size: 1rem }
p, ul, form { margin: 0 0 .75rem }
main > :last-child { margin-bottom: 0 }
ul { padding-left: 1.25rem }
fieldset { min-width: 0; margin: 1.25rem 0 0; padding: 0; border: 0 }
legend, label { display: block; padding: 0; margin-bottom: .5rem; font-weight: 600 }
button, input[type=text], .key { display: block; width: 100%; min-height: 2.75rem; margin: .5rem 0 0;
  padding: .625rem .875rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card);
  color: var(--text); font: inherit; text-align: center; text-decoration: none }
button { cursor: pointer }
button:hover, .key:hover { border-color: var(--key) }
button.user { text-align: left }
button.user small, li small { display: block }
#user_code { font-size: 1.25rem; letter-spacing: .1em; text-transform: uppercase }
.key { border-color: var(--key); background: var(--key); color: var(--key-text); font-weight: 600 }
a { color: var(--key) }
:focus-visible { outline: 3px solid var(--key); outline-offset: 2px }
small, .soft { color: var(--soft); font-size: .875rem }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.code { display: block; margin: .75rem 0; padding: .625rem; border: 1px dashed var(--line); border-radius: .5rem;
  font-size: 1.5rem; letter-spacing: .1em; text-align: center }
.bad { color: var(--bad); font-weight: 600 }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# form-action is left open: Chromium holds it against the redirects after a form too, up to the application's
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


class Html(str):
    """Markup, whose texts have been escaped."""

    __slots__ = ()


class Asking(NamedTuple):
    """For what a user is to sign in: the application's name, where it has one here, and its callback URL."""

    name: str
    callback_url: str


def element(tag: str, *children: str, **attributes: str) -> Html:
    """`<tag>` with its children, of which those that are no Html are text; `class_` is the attribute class."""
    head = "".join(f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{head}>")
    return Html(f"<{tag}{head}>{_joined(children)}</{tag}>")


def _joined(children: Sequence[str]) -> Html:
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def _page(title: str, *children: str) -> bytes:
    """A whole document; the title ends so that nobody takes it for the real Nexus."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title if title == _NAME else f"{title} · {_NAME}"),
        element("style", Html(_STYLE)),
    )
    brand = element("header", element("span", _NAME), element("span", "a stand-in, for trying out", class_="tag"))
    body = element("body", element("main", brand, element("h1", title), *children))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n".encode()


def _form(action: str, *children: str) -> Html:
    return element("form", *children, method="post", action=action)


def _hidden(name: str, value: str) -> Html:
    return element("input", type="hidden", name=name, value=value)


def _choice(name: str, value: str, *children: str, **attributes: str) -> Html:
    return element("button", *children, type="submit", name=name, value=value, **attributes)


# Signing in and out


def sign_in(return_url: str, asking: Asking | None, signed_in: User | None) -> bytes:
    """The choice of a user; `return_url` is where the browser goes on, empty for the start page."""
    is_device = asking is None and bool(return_url)
    users = [_choice("user", str(user.id), *_described(user), class_="user") for user in USERS]
    no = [_choice("user", "none", "No, do not sign in")] if return_url else []
    form = _form(
        "/login/signin",
        _hidden("returnUrl", return_url),
        element("fieldset", element("legend", "Sign in as"), *users, *no),
    )
    already = [element("p", "Signed in now: ", element("b", signed_in.name), class_="soft")] if signed_in else []
    return _page("Sign in", *_reason(asking, is_device=is_device), *already, form)


def _reason(asking: Asking | None, *, is_device: bool) -> list[Html]:
    if asking is None:
        about = "A program without a browser asks. You will see its code next, and decide." if is_device else ""
        return [element("p", about or "There is no password: whoever you choose, you are.")]
    if not asking.name:
        unknown = "An application asks that this Nexus does not know, or that is archived. It will be refused."
        return [element("p", unknown)]
    what = "There is no password and no further question: your choice sends your browser to"
    good = "with a code, for which it gets a token to act as the user you chose."
    return [
        element("p", element("b", asking.name), " asks who you are."),
        element("p", f"{what} ", element("code", asking.callback_url), f" {good}"),
    ]


def _described(user: User) -> list[Html]:
    lines = [element("b", user.name)]
    lines += [element("small", user.email)] if user.email != user.name else []
    return [*lines, element("small", "system administrator")] if user.is_sys_admin else lines


def stayed_out(asking: Asking | None) -> bytes:
    """After a no, of which Nexus tells nobody."""
    whom = (asking.name if asking else "") or "the application"
    told = f"You did not sign in, and nothing was sent to {whom}. It does not learn of your no; it just waits."
    return _page("Nothing was sent", element("p", told), element("p", "You can close this tab."))


def start(user: User | None, applications: Sequence[Mapping[str, Any]], *, device_codes: bool) -> bytes:
    """What this is, who is signed in, and which applications are registered."""
    what = "Plays DeepLynx Nexus on this computer: its API, and the pages on which users sign in. Nothing here is real."
    if user:
        out = _form("/login/signout", element("button", "Sign out", type="submit"))
        who = [element("p", "Signed in: ", element("b", user.name)), out]
    else:
        who = [element("p", element("a", "Sign in", href="/login/signin", class_="key"))]
    listed = [
        element("li", row["name"], element("small", row["callbackUrl"] or "no callback URL")) for row in applications
    ]
    shown = element("ul", *listed) if listed else element("p", "None is registered yet.", class_="soft")
    device = [element("p", element("a", "Enter a device's code", href="/oauth/device/verify"))] if device_codes else []
    return _page(_NAME, element("p", what), *who, *device, element("h2", "Applications"), shown)


# Devices


def device_code(user: User, user_code: str, trouble: str = "") -> bytes:
    """Where a device's code is typed; `trouble` is what was wrong with the last one."""
    said = [element("p", trouble, role="alert", class_="bad")] if trouble else []
    form = element(
        "form",
        element("label", "Code shown by the device", for_="user_code"),
        element("input", type="text", id="user_code", name="user_code", value=user_code, autocomplete="off"),
        element("button", "Continue", type="submit", class_="key"),
        method="get",
        action="/oauth/device/verify",
    )
    return _page("Connect a device", *said, form, _signed_in(user, user_code))


def device_decision(user: User, found: Mapping[str, Any]) -> bytes:
    """What a user is asked of one device; `found` is Nexus's own description of the request."""
    scope = [element("p", "It asks for: ", element("code", found["scope"]))] if found["scope"] else []
    warning = "Approve only if you started this yourself, and the device shows this very code."
    form = _form(
        "/oauth/device/verify",
        _hidden("user_code", found["user_code"]),
        _choice("answer", "approve", "Approve", class_="key"),
        _choice("answer", "deny", "Deny"),
    )
    return _page(
        "Connect a device",
        element("p", element("b", found["application_name"]), " asks to act as ", element("b", user.name), "."),
        element("code", found["user_code"], class_="code"),
        *scope,
        element("p", warning),
        form,
        _signed_in(user, found["user_code"]),
    )


def device_decided(user: User, found: Mapping[str, Any]) -> bytes:
    """After the decision."""
    name = found["application_name"]
    if found["status"] == "approved":
        title, told = "Approved", f"{name} may act as {user.name}. Go back to the device."
    else:
        title, told = "Denied", f"{name} gets nothing, and is told that you said no."
    return _page(title, element("p", told), element("p", "You can close this tab."))


def _signed_in(user: User, user_code: str) -> Html:
    here = f"/oauth/device/verify?{urlencode({'user_code': user_code})}"
    other = element("a", "Choose another", href=f"/login/signin?{urlencode({'returnUrl': here})}")
    return element("p", "Signed in: ", element("b", user.name), ". ", other, class_="soft")


def refused(title: str, told: str) -> bytes:
    """A request that the frontend does not take."""
    return _page(title, element("p", told), element("p", element("a", "To the start page", href="/")))
