"""Handover: what an application's owner has to know, as text, Markdown or a document; never the secret.

Owns that wording, for people who have never heard of registrar. Pure, from metadata alone. Must never be given a
credential, and never tell as known what the facts do not say.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from registrar.client import Home, home
from registrar.errors import StepFailed
from registrar.markdown import escaped
from registrar.model import Facts, Former, Kind, Record, State, Target
from registrar.policy import line, reading
from registrar.templates import FORMS
from registrar.wording import machine, table, visible

_WIDTH: Final = 76
_USUAL: Final = {
    "NEXUS_URL": "",
    "VAULT_NAMESPACE": "",
    "REGISTRAR_VAULT_MOUNT": "secret",
    "REGISTRAR_VAULT_PREFIX": "nexus",
}

Block = str | list[str]
"""A paragraph, or lines that are to be copied as they are."""
Section = tuple[str, list[Block]]


@dataclass(frozen=True, slots=True)
class Handover:
    """One application with a stored credential, as its owner gets to know it; what is not known is empty.

    `declared` is whether the reader's registrar.yaml has this target, `seen_at` the time by which a grace is judged.
    """

    path: str
    target: Target
    facts: Facts
    seen_at: datetime
    at: Home
    client_id: str
    contact: str
    declared: bool
    ours: bool

    @property
    def name(self) -> str:
        return self.facts.name or self.path

    @property
    def key(self) -> str:
        """The path below the mount."""
        return f"{self.target.vault_prefix}/{self.path}"

    @property
    def former(self) -> Former | None:
        """The registration before this one, as long as it has not been archived."""
        return self.facts.retiring

    @property
    def exports(self) -> dict[str, str]:
        """The variables that lead to this credential from any folder of any machine."""
        target = self.target
        found = {
            "NEXUS_URL": self.at.nexus,
            "VAULT_ADDR": target.vault_addr,
            "VAULT_NAMESPACE": target.vault_namespace,
            "REGISTRAR_VAULT_MOUNT": target.vault_mount,
            "REGISTRAR_VAULT_PREFIX": target.vault_prefix,
        }
        return {name: value for name, value in found.items() if value != _USUAL.get(name)}

    @property
    def commands(self) -> dict[str, str]:
        """Each command by what it is for; `policy` is for whoever administers Vault."""
        location = self.target.location(self.path)
        words = {
            "policy": ["registrar", "policy", "--for", "developer", self.path, *self._leading()],
            "fetch": ["registrar", "creds", "get", self.path],
            "run": ["registrar", "exec", self.path, "--", "COMMAND"],
            "try": ["registrar", "flow", self.path],
            "template": ["registrar", "creds", "template", FORMS[0], self.path],
            "kv": ["vault", "kv", "get", location],
            "secret": ["vault", "kv", "get", "-field=client_secret", location],
        }
        return {name: shlex.join(command) for name, command in words.items()}

    def _leading(self) -> list[str]:
        """The flags that make a command of an administrator mean this target."""
        if self.declared:
            return ["--target", self.target.name]
        flags = {"--vault-mount": "REGISTRAR_VAULT_MOUNT", "--vault-prefix": "REGISTRAR_VAULT_PREFIX"}
        return [word for flag, name in flags.items() if name in self.exports for word in (flag, self.exports[name])]

    @property
    def policy(self) -> str:
        """The one line of a Vault policy that it takes."""
        return line(reading(self.target.vault_mount, self.target.vault_prefix, self.path))


def handover(record: Record, target: Target, *, contact: str = "", declared: bool = False) -> Handover:
    """What there is to tell of a record; StepFailed where it holds nothing to be handed over."""
    facts = record.base
    name = facts.name or record.path
    if not record.living:
        if record.kind is Kind.WITHDRAWN and facts.state is State.RETIRED:
            told, hint = f"{name} is retired: its credential is withdrawn", f"registrar restore {record.path}"
        else:
            told, hint = f"{target.location(record.path)} holds no credential now", f"registrar show {record.path}"
        raise StepFailed(told, hint=hint, application=name)
    return Handover(
        path=record.path,
        target=target,
        facts=facts,
        seen_at=record.seen_at,
        at=home(facts, target),
        client_id=facts.client_id if record.kind is Kind.SETTLED else "",
        contact=contact,
        declared=declared,
        ours=record.facts is not None,
    )


def handover_text(found: Handover) -> str:
    """As plain text, no line of a paragraph wider than a mail's."""
    lines = [*_filled(_title(found)), ""]
    for title, blocks in _sections(found):
        lines += [title, "-" * len(title), ""]
        for block in blocks:
            lines += _filled(block) if isinstance(block, str) else [f"    {visible(line)}".rstrip() for line in block]
            lines.append("")
    return "\n".join(lines).rstrip("\n")


def handover_markdown(found: Handover) -> str:
    """As Markdown; what is to be copied is in fenced blocks, where no character has to be escaped."""
    lines = [f"## {escaped(_title(found))}", ""]
    for title, blocks in _sections(found):
        lines += [f"### {escaped(title)}", ""]
        for block in blocks:
            lines += [escaped(block), ""] if isinstance(block, str) else [*_fenced(block), ""]
    return "\n".join(lines).rstrip("\n")


def handover_json(found: Handover) -> str:
    """As one document; null is what is not known, or not there."""
    target, facts, former = found.target, found.facts, found.former
    content: dict[str, Any] = {
        "name": found.name,
        "path": found.path,
        "owner": facts.owner or None,
        "contact": found.contact or None,
        "client_id": found.client_id or None,
        "redirect_uri": facts.redirect_uri or None,
        "nexus": found.at.nexus or None,
        "authorize_url": found.at.authorize_url or None,
        "exchange_url": found.at.exchange_url or None,
        "vault": {
            "address": target.vault_addr,
            "namespace": target.vault_namespace,
            "mount": target.vault_mount,
            "prefix": target.vault_prefix,
            "key": found.key,
            "location": target.location(found.path),
            "policy": found.policy,
        },
        "grace": {"client_id": former.client_id, "until": former.until} if former else None,
        "environment": found.exports,
        "commands": found.commands,
    }
    return machine("handover", content)


# ── the words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _title(found: Handover) -> str:
    if not found.ours:
        return f"What is known of the credential at {found.target.location(found.path)}"
    return f"{found.name} can sign its users in with DeepLynx Nexus"


def _sections(found: Handover) -> Iterator[Section]:
    yield "What your application uses", list(_uses(found))
    yield "Where the secret is", list(_where(found))
    yield "How to get it", list(_fetching(found))
    yield "How a user signs in", list(_flow(found))
    yield "What to keep in mind", list(_mind())
    if found.contact:
        yield "Whom to ask", [[found.contact]]


def _uses(found: Handover) -> Iterator[Block]:
    facts, former = found.facts, found.former
    known = [
        ("Nexus", found.at.nexus),
        ("client id", found.client_id),
        ("redirect URI", facts.redirect_uri),
        ("authorize URL", found.at.authorize_url),
        ("exchange URL", found.at.exchange_url),
    ]
    yield table([(label, value or "unknown") for label, value in known])
    if not found.ours:
        yield (
            "What is unknown was never told to registrar, which keeps these credentials: somebody else has written "
            "this one. Ask them before you use it."
        )
    elif not found.client_id:
        yield (
            "The client id is unknown here, since the stored credential is newer than what has been noted about it. "
            "It comes with the secret."
        )
    if former:
        yield from _grace(former, found.seen_at)


def _grace(former: Former, now: datetime) -> Iterator[Block]:
    if former.until > now:
        yield (
            "A rotation has replaced the registration before this one. Both work until the time below; get the "
            "new client id and secret, and restart your application with them, before it."
        )
        yield table([("old client id", former.client_id), ("works until", f"{former.until:%Y-%m-%d %H:%M} UTC")])
    else:
        yield "The grace of the registration before this one is over. It can stop working at any time:"
        yield table([("old client id", former.client_id), ("grace ended", f"{former.until:%Y-%m-%d %H:%M} UTC")])


def _where(found: Handover) -> Iterator[Block]:
    target = found.target
    yield (
        "The client secret is kept in a HashiCorp Vault or OpenBao. It is not in this message, and nobody has to send "
        "it to you."
    )
    places = [
        ("address", target.vault_addr),
        ("namespace", target.vault_namespace),
        ("mount", f"{target.vault_mount} (key-value store, version 2)"),
        ("path", found.key),
        ("fields", "client_id, client_secret"),
    ]
    yield table([(label, value) for label, value in places if value])


def _fetching(found: Handover) -> Iterator[Block]:
    commands = found.commands
    yield "1. You need a login to that Vault, with a policy that has this line. Whoever administers Vault adds it:"
    yield [found.policy]
    yield "They can have it printed with all that belongs to it:"
    yield [commands["policy"]]
    yield "2. Tell your shell where it is, and log in:"
    exports = [f"export {name}={shlex.quote(value)}" for name, value in found.exports.items()]
    yield [*exports, "vault login       # or: bao login; -method=oidc, ldap … as your Vault wants it"]
    yield "3. Look at the credential, and run your program with it:"
    yield [commands["fetch"], commands["run"]]
    yield (
        "The second starts COMMAND with NEXUS_CLIENT_ID, NEXUS_CLIENT_SECRET, NEXUS_REDIRECT_URI, NEXUS_AUTHORIZE_URL "
        "and NEXUS_EXCHANGE_URL in its environment, and writes nothing to disk. Without registrar, Vault's own program "
        "gets the credential (with OpenBao: bao in place of vault):"
    )
    yield [commands["kv"], commands["secret"]]
    yield f"For a server, registrar prints configuration to start from, for {', '.join(FORMS[:-1])} or {FORMS[-1]}:"
    yield [commands["template"]]


def _flow(found: Handover) -> Iterator[Block]:
    yield (
        "Send the browser to the authorize URL with the parameters client_id, redirect_uri and state, a random value "
        "that you remember for this browser."
    )
    yield (
        "Nexus sends it back to the redirect URI with code and state. Refuse a state that is not the one you remember; "
        "a code is good once, for ten minutes."
    )
    yield (
        "From your server, POST to the exchange URL with code, state, client_id, client_secret and redirect_uri as "
        "query parameters, not in the body. The answer has the user's access token."
    )
    yield "See each of these steps work, from your own machine and before there is a program:"
    yield [found.commands["try"]]


def _mind() -> Iterator[Block]:
    yield (
        "- The redirect URI has to be sent as it is registered, byte for byte, in both requests: scheme, host, port, "
        "path and final slash. Only an administrator of Nexus can change what is registered."
    )
    yield (
        "- The exchange carries the client secret in its query string. Keep that URL out of every log: your program's, "
        "its HTTP library's, a proxy's, an error report's."
    )
    yield (
        "- Keep the secret on your server: not in a browser, a mobile app, an image, a repository, a ticket or a mail. "
        "If it may have been seen, have the credential rotated."
    )
    yield (
        "- A rotation puts a new client id and a new secret at the same path. For a grace, usually a day, the old ones "
        "work beside them. So read both from Vault whenever your application starts."
    )


# ── the two forms ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _filled(text: str) -> list[str]:
    indent = {"- ": "  ", "1. ": "   ", "2. ": "   ", "3. ": "   "}
    hanging = next((room for start, room in indent.items() if text.startswith(start)), "")
    return textwrap.wrap(
        visible(text), _WIDTH, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _fenced(lines: list[str]) -> list[str]:
    """The lines in a fence that is longer than any row of backticks in them."""
    text = [visible(line) for line in lines]
    longest = max(map(len, re.findall("`+", "\n".join(text))), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *text, fence]
