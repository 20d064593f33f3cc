"""A flow in words and as a document: its steps as they happen, and what an application keeps of it where.

Owns wording and layout. Must never hold a secret but the token that was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from registrar.client import Client
from registrar.flow import Outcome, Told
from registrar.secret import Secret
from registrar.wording import machine, table, visible

_SHOWN_LINES: Final = 24
INDENT: Final = " " * 14
"""What is said below a step's request begins here."""


def step_text(number: int, step: Told) -> str:
    """One step: its number and name, the request, and below it what came of it."""
    head = f"{number}  {step.step:<11}"
    lines = [visible(line) for line in (step.request, step.outcome) if line]
    return "\n".join([head + lines[0], *(INDENT + line for line in lines[1:])]) if lines else head.rstrip()


def outcome_text(client: Client, outcome: Outcome, token: str | None) -> str:
    """What the token says, what the API answered, and what an application has to keep where."""
    claims = {name: _shown(value) for name, value in outcome.token.claims.items()}
    rows = [
        ("expires", _expiry(outcome)),
        ("scope", outcome.token.scope or "none: Nexus has no scopes"),
        *claims.items(),
    ]
    parts = ["The token", *table(rows, "  ")]
    if outcome.called:
        parts += ["", f"{outcome.called.path} answered {outcome.called.status}", *_body(outcome.called.content)]
    parts += ["", f"What {visible(client.name)} has to keep", *table(_keeping(client), "  ")]
    if token is not None:
        parts += ["", "The token itself, which lives until it expires", token]
    return "\n".join(parts)


def _keeping(client: Client) -> list[tuple[str, str]]:
    return [
        ("client secret", f"in Vault at {visible(client.location)}; registrar exec {client.path} -- CMD hands it over"),
        ("state", "with the user's session until the callback, used once, compared in constant time"),
        ("code", "nowhere: exchanged at once, by the server"),
        ("token", "on the server, encrypted at rest; a cookie holds the session's id alone"),
        ("expiry", "beside the token; after it, or a 401, the user signs in again: there is no refresh token"),
        ("exchange URL", "out of every log: Nexus takes the client secret in its query"),
    ]


def _expiry(outcome: Outcome) -> str:
    ends = outcome.token.expires_at
    told = f"{ends:%Y-%m-%d %H:%M:%S} UTC" if ends else "it does not tell"
    return f"{told}, but it was ended by the clean-up" if outcome.cleaned_up else told


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Secret) else visible(value if isinstance(value, str) else json.dumps(value))


def _body(content: object) -> list[str]:
    lines = json.dumps(content, indent=2, default=str, ensure_ascii=False).splitlines()
    shown = [f"  {visible(line)}" for line in lines[:_SHOWN_LINES]]
    return [*shown, f"  … {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else shown


def outcome_json(client: Client, steps: Sequence[Told], outcome: Outcome, token: str | None) -> str:
    """The same for programs."""
    called = outcome.called
    content: dict[str, Any] = {
        "path": client.path,
        "name": client.name,
        "client_id": client.credential.client_id,
        "redirect_uri": client.redirect_uri,
        "steps": [asdict(step) for step in steps],
        "token": {
            "claims": {
                name: str(value) if isinstance(value, Secret) else value for name, value in outcome.token.claims.items()
            },
            "expires_at": outcome.token.expires_at,
            "scope": outcome.token.scope,
            "ended": outcome.cleaned_up,
            **({"access_token": token} if token is not None else {}),
        },
        "call": {"path": called.path, "status": called.status} if called else None,
    }
    return machine("flow", content)
