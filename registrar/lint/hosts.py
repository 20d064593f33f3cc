"""The rules for where a redirect URI leads: whose host it is, who else receives there, and in which environment.

Must never resolve a name: what a host is, is told by its spelling alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from registrar.lint.finding import Level
from registrar.lint.lookalikes import mixed_scripts
from registrar.lint.rule import Breach, Case, redirect_rule, rule
from registrar.model import Target
from registrar.uri import Uri


def _under(host: str, domains: tuple[str, ...]) -> bool:
    """Whether a host is one of these domains, each written with a dot before it, or below one."""
    return f".{host}".endswith(domains)


_LOCALHOST: Final = (".localhost",)


@redirect_rule(
    "RU007",
    "Loopback is written as an address",
    reason="localhost is a name: a resolver can send it elsewhere, and a listener on ::1 hears nothing of 127.0.0.1.",
    fix="write 127.0.0.1 or [::1], as the application listens",
    source="RFC 8252 §8.3",
    level=Level.WARNING,
)
def _ru007(case: Case) -> str:
    return "names localhost" if _under(case.redirect.host, _LOCALHOST) else ""


_PRIVATE: Final = (".local", ".internal", ".test", ".invalid", ".example", ".home.arpa")


def _unreachable(uri: Uri) -> str:
    """Why the host is another one for everybody who looks for it, in words that follow "leads to"."""
    address = uri.address
    if _under(uri.host, _LOCALHOST) or (address is not None and uri.loopback):
        return "the user's own machine"
    if address is not None:
        address = getattr(address, "ipv4_mapped", None) or address
        return "" if address.is_global and not address.is_multicast else "an address that is not public"
    host = uri.host.removesuffix(".")
    if not _under(host, _PRIVATE):
        return ""
    ending = next(ending for ending in _PRIVATE if _under(host, (ending,)))
    return f"a host below {ending}, which is never public"


@rule(
    "RU009",
    "The redirect URI leads to a host that can be public",
    reason="Whoever is on the user's network, or machine, can answer there and receives the code.",
    fix="use the host's public name; set what developers use below `targets`, for their target alone",
    source="RFC 6761, RFC 6890, RFC 8375",
    field="redirect_uri",
    otherwise="where the target is not `production: true`",
)
def _ru009(case: Case) -> Iterator[Breach]:
    if where := _unreachable(case.redirect):
        level = Level.ERROR if case.target.production else Level.WARNING
        yield Breach(f"the redirect URI leads to {where}", level)


@redirect_rule(
    "RU010",
    "The redirect URI leads to a name",
    reason="An address is lent: the next one who is given it receives the codes, and a certificate seldom covers it.",
    fix="use the host's name",
    source="RFC 6125 §1.7.2",
    level=Level.WARNING,
)
def _ru010(case: Case) -> str:
    public = case.redirect.address is not None and not _unreachable(case.redirect)
    return "has an IP address for its host" if public else ""


_ELSEWHERE: Final = re.compile(r"[^\x21-\x7e]|[*{}%\\\"<>^`|\[\]]")  # RU001, RU005 and RU006 tell of these
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile("[0-9]+|0x[0-9a-f]*")


_USUAL: Final = re.compile(r"(?=.{1,63}\Z)(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]+")  # nothing is wrong with it


def _host_fault(host: str) -> str:
    """Why a host is not a name that DNS and IDNA allow."""
    if host.endswith("."):
        return "has a trailing dot after its host"
    if len(host) > 253:
        return "has a host of more than 253 characters"
    labels = host.split(".")
    for label in labels:
        if not label:
            return "has an empty label in its host"
        if not _LABEL.fullmatch(label):
            return f"has a label in its host that is {_label_fault(label)}"
        if label[2:4] == "--" and not _unicode(label):
            return "has a label in its host that IDNA does not allow"
    # A browser takes 127.1, 0x7f.1 and 2130706433 for addresses (WHATWG URL §3.5); no top-level domain is a number.
    if _NUMBER.fullmatch(labels[-1]):
        return "has a host that ends in a number and is not an address"
    return ""


def _label_fault(label: str) -> str:
    if len(label) > 63:
        return "longer than 63 characters"
    if "_" in label:
        return "written with an underscore"
    return "not made of letters, digits and inner hyphens"


def _unicode(label: str) -> str:
    """What an A-label stands for; empty where it is none."""
    import idna

    try:
        return idna.ulabel(label) if label.startswith("xn--") else ""
    except (idna.IDNAError, UnicodeError):
        return ""


@redirect_rule(
    "RU014",
    "The host is a name that DNS and IDNA allow",
    reason="What is not one is read as another host by some, as an address by others, and by resolvers not at all.",
    fix="write the host as its certificate has it",
    source="RFC 5891, RFC 1123 §2.1, WHATWG URL §3.5",
)
def _ru014(case: Case) -> str:
    host = case.redirect.host
    told = not host or _USUAL.fullmatch(host) or case.redirect.address is not None or _ELSEWHERE.search(host)
    return "" if told else _host_fault(host)


_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


@redirect_rule(
    "RU015",
    "The redirect URI is in its usual spelling",
    reason="Nexus compares byte for byte, and libraries send the usual spelling; a host of mixed scripts imitates one.",
    fix="write scheme and host in lower case and of one script, and leave the default port out",
    source="RFC 3986 §6.2, Unicode UTS #39",
    level=Level.WARNING,
)
def _ru015(case: Case) -> str:
    uri = case.redirect
    faults: list[str] = []
    beginning = uri.text.partition(":")[0] + uri.authority
    if beginning != beginning.lower():
        faults.append("upper-case letters in its scheme or host")
    if uri.port is not None and uri.port == _DEFAULT_PORTS.get(uri.scheme):
        faults.append(f"the default port {uri.port}")
    if "xn--" in uri.host:
        labels = [_unicode(label) for label in uri.host.split(".") if label.startswith("xn--")]
        faults += [f"a label of mixed scripts in its host ({mixed})" for one in labels if (mixed := mixed_scripts(one))]
    return f"has {', '.join(faults)}" if faults else ""


@rule(
    "RU017",
    "The redirect URI leads to the host of base_url, or to one that the target allows",
    reason="The code of an application that users know by one address must not go to somebody else's host.",
    fix="correct one of the two, or list the host in `allowed_hosts` of the target in registrar.yaml",
    source="RFC 7591 §5",
    field="redirect_uri",
)
def _ru017(case: Case) -> Iterator[Breach]:
    base, redirect = case.base, case.redirect
    if not base.host or not redirect.host or base.host == redirect.host or (base.loopback and redirect.loopback):
        return
    if redirect.host not in (host.lower() for host in case.target.allowed_hosts):
        yield Breach("the redirect URI does not lead to the host of base_url")


@rule(
    "RU018",
    "No other application of the target has the same redirect URI",
    reason="Two clients that receive at one place can be made to take each other's codes.",
    fix="give each application a callback of its own, in its host or in its path",
    source="RFC 9700 §4.4",
    field="redirect_uri",
    otherwise="on loopback",
)
def _ru018(case: Case) -> Iterator[Breach]:
    first = case.neighbours.redirects[case.keys.redirect]
    if case.keys.redirect and first is not case.entry:
        level = Level.WARNING if case.redirect.loopback else Level.ERROR
        yield Breach(f"the redirect URI is that of the application at {first.place('redirect_uri')}", level)


_TUNNELS: Final = (
    *(".ngrok.io", ".ngrok.app", ".ngrok.dev", ".ngrok-free.app", ".ngrok-free.dev", ".trycloudflare.com", ".loca.lt"),
    *(
        ".localtunnel.me",
        ".localhost.run",
        ".lhr.life",
        ".serveo.net",
        ".devtunnels.ms",
        ".tunnelmole.net",
        ".bore.pub",
    ),
    *(".pagekite.me", ".zrok.io", ".localto.net", ".pinggy.link", ".pinggy.io", ".app.github.dev", ".expose.dev"),
)
_SHORTENERS: Final = (
    *(
        ".bit.ly",
        ".tinyurl.com",
        ".t.co",
        ".goo.gl",
        ".is.gd",
        ".v.gd",
        ".ow.ly",
        ".buff.ly",
        ".rebrand.ly",
        ".cutt.ly",
    ),
    *(".rb.gy", ".t.ly", ".shorturl.at", ".s.id"),
)


@redirect_rule(
    "RU019",
    "The redirect URI leads to no tunnel and no shortener",
    reason="A tunnel's name belongs to whoever opens it next, and a shortener's owner may change where it leads.",
    fix="use the application's own host; developers use loopback",
    source="RFC 9700 §4.11",
    level=Level.WARNING,
)
def _ru019(case: Case) -> str:
    host = case.redirect.host
    kind = "tunnel" if _under(host, _TUNNELS) else "shortener" if _under(host, _SHORTENERS) else ""
    return f"leads to a {kind}" if kind else ""


_ENVIRONMENTS: Final = {
    **dict.fromkeys(("prod", "production", "prd", "live"), "production"),
    **dict.fromkeys(("dev", "devel", "develop", "development"), "development"),
    **dict.fromkeys(("test", "testing", "tst", "qa", "uat"), "test"),
    **dict.fromkeys(("stage", "staging", "stg", "preprod", "preproduction", "nonprod"), "staging"),
}
_PREFIXED: Final = re.compile(r"\b(pre|non)-(?=prod)")
_WORD: Final = re.compile("[a-z]+")


def _environments(text: str) -> set[str]:
    """The environments that a name speaks of."""
    words = _WORD.findall(_PREFIXED.sub(r"\1", text) if "-prod" in text else text)
    return {_ENVIRONMENTS[word] for word in words if word in _ENVIRONMENTS}


def _environment(target: Target) -> set[str]:
    return {"production"} if target.production else _environments(target.name.lower())


@rule(
    "RU021",
    "The host speaks of the target's own environment",
    reason="The callback of another environment is the commonest slip of all: users of one sign in to the other.",
    fix="write this target's host; what differs between targets is set below `targets`",
    source="RFC 9700 §4.1.3",
    field="redirect_uri",
    level=Level.WARNING,
)
def _ru021(case: Case) -> Iterator[Breach]:
    # The last label is no environment: .dev is a domain like .org, and of .test another rule tells.
    named = _environments(case.redirect.host.rpartition(".")[0])
    if named and (own := _environment(case.target)) and not named & own:
        there, here = (" and ".join(sorted(words)) for words in (named, own))
        yield Breach(f"the redirect URI speaks of {there}, and the target of {here}")
