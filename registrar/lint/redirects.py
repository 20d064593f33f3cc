"""The rules for the text of a redirect URI: what every parser has to read alike.

Must never judge where it leads: that is in `hosts`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

from registrar.lint.finding import Level
from registrar.lint.rule import Case, redirect_rule
from registrar.model import FACT_LIMIT_BYTES
from registrar.uri import DANGEROUS, incomplete, unfit_scheme, unsafe, userinfo


@redirect_rule(
    "RU001",
    "The redirect URI is absolute, with scheme and host",
    reason="Nexus stores any text; a browser sent to a relative one comes back to Nexus itself, with the code.",
    fix="write it out, as in https://viewer.example.org/oauth/callback",
    source="RFC 6749 §3.1.2",
)
def _ru001(case: Case) -> str:
    return incomplete(case.redirect)


@redirect_rule(
    "RU002",
    "The redirect URI has no fragment, not even a trailing #",
    reason="What follows the # never reaches the server, and the code is appended behind it.",
    fix="remove the # and what follows",
    source="RFC 6749 §3.1.2",
)
def _ru002(case: Case) -> str:
    return "has a fragment" if "#" in case.redirect.text else ""


@redirect_rule(
    "RU003",
    "The redirect URI is https, or http on loopback",
    reason="The code is sent in the URL: over http everybody on the way can read it, other schemes can run it.",
    fix="use https; http only for localhost, 127.0.0.0/8 and [::1]",
    source="RFC 9700 §2.6, RFC 7591 §5",
)
def _ru003(case: Case) -> str:
    return "" if _custom(case.redirect.scheme) else unfit_scheme(case.redirect)


@redirect_rule(
    "RU004",
    "The redirect URI has no user information",
    reason="https://localhost@evil.example goes to evil.example, whatever a reviewer believes to read.",
    fix="remove everything between // and @",
    source="RFC 3986 §7.6",
)
def _ru004(case: Case) -> str:
    return userinfo(case.redirect)


_PATTERN: Final = re.compile("[*{}]")


@redirect_rule(
    "RU005",
    "The redirect URI has no wildcard and no placeholder",
    reason="Nexus compares byte for byte, so a pattern never matches; where one would, it lets attackers choose.",
    fix="write one exact URI; use `targets` for those of other environments",
    source="RFC 9700 §4.1.3",
)
def _ru005(case: Case) -> str:
    return "has a wildcard or a placeholder" if _PATTERN.search(case.redirect.text) else ""


@redirect_rule(
    "RU006",
    "The redirect URI has only characters and segments that every parser reads alike",
    reason="Browsers, proxies and servers disagree about the rest, and the code goes where one of them thinks best.",
    fix="write the plain URI that the application itself sends",
    source="RFC 3986 §2, WHATWG URL §4.4",
)
def _ru006(case: Case) -> str:
    return unsafe(case.redirect)


@redirect_rule(
    "RU008",
    "The redirect URI has no scheme of an installed program",
    reason="Nexus clients keep a secret, which a program on a desk cannot, and any other program may take its scheme.",
    fix="receive the code by https on a server; a program on a desk uses http on loopback, and no secret of its own",
    source="RFC 8252 §8.5",
)
def _ru008(case: Case) -> str:
    return unfit_scheme(case.redirect) if _custom(case.redirect.scheme) else ""


def _custom(scheme: str) -> bool:
    return scheme not in ("", "http", "https") and scheme not in DANGEROUS


_RESPONSE: Final = frozenset(
    ["code", "state", "iss", "error", "error_description", "error_uri", "access_token", "id_token"]
)
_FORWARDS: Final = frozenset(["url", "next", "return", "redirect", "redirect_uri", "continue", "goto", "dest"])


def _parameters(case: Case) -> list[str]:
    """The names in the query, as an application would compare them."""
    if not case.redirect.query:
        return []
    return [unquote_plus(part.partition("=")[0]).lower() for part in re.split("[&;]", case.redirect.query)]


@redirect_rule(
    "RU011",
    "The query has no parameter of the answer",
    reason="Nexus appends its own: with two of a name, the application may take the one that everybody knows.",
    fix="remove it; what the application has to remember belongs in its session, under the state that it sends",
    source="RFC 6749 §4.1.2, RFC 9207",
)
def _ru011(case: Case) -> str:
    found = sorted(_RESPONSE.intersection(_parameters(case)))
    return f"has the parameter {', '.join(found)} in its query, which the answer brings" if found else ""


@redirect_rule(
    "RU012",
    "The redirect URI does not look like an open redirector",
    reason="A page that sends users on to wherever a parameter says sends the code along with them.",
    fix="register the page that handles the code itself",
    source="RFC 9700 §4.11",
    level=Level.WARNING,
)
def _ru012(case: Case) -> str:
    found = sorted(_FORWARDS.intersection(_parameters(case)))
    return f"has the parameter {', '.join(found)} in its query, as open redirectors have" if found else ""


@redirect_rule(
    "RU013",
    "The redirect URI has no query",
    reason="It must match byte for byte: another order or spelling of the parameters, and sign-in fails.",
    fix="put what tells the cases apart into the path, or into the state",
    source="RFC 6749 §3.1.2.2, RFC 3986 §6.2.1",
    level=Level.WARNING,
)
def _ru013(case: Case) -> str:
    return "has a query" if case.redirect.query is not None else ""


@redirect_rule(
    "RU016",
    "The callback has a path of its own",
    reason="A start page loads pictures, scripts and trackers, and each of them may be told the URL with the code.",
    fix="use a path that does nothing else, as in https://viewer.example.org/oauth/callback",
    source="RFC 9700 §4.2",
    level=Level.WARNING,
)
def _ru016(case: Case) -> str:
    return "is the root of its host" if case.redirect.host and case.redirect.path in ("", "/") else ""


@redirect_rule(
    "RU020",
    f"The redirect URI has at most {FACT_LIMIT_BYTES} bytes",
    reason="It is kept beside the credential, where Vault refuses a longer value and with it the whole record.",
    fix="shorten it; a callback needs no more than a host and a path",
    source="Vault custom_metadata",
)
def _ru020(case: Case) -> str:
    length = len(case.redirect.text.encode(errors="surrogatepass"))
    over = f"has {length} bytes, {FACT_LIMIT_BYTES} at most are allowed"
    return over if length > FACT_LIMIT_BYTES else ""
