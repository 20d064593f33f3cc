"""Client: what an application needs to sign its users in, as Vault's record has it.

Owns the addresses of the flow and the names under which a program gets them. Pure. Must never open the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from registrar.model import Credential, Facts, Record, Target
from registrar.secret import Secret

FIELDS: Final = ("client_id", "client_secret", "redirect_uri", "authorize_url", "exchange_url")
"""What a program gets, in the order in which it is told."""


@dataclass(frozen=True, slots=True)
class Client:
    """A credential with where it is used; what no facts of ours tell is empty.

    `authorize_url` is the frontend's, which a browser is sent to; `exchange_url` the backend's, which a program calls.
    """

    name: str
    path: str
    location: str
    version: int
    credential: Credential
    redirect_uri: str = ""
    authorize_url: str = ""
    exchange_url: str = ""
    owner: str = ""
    nexus: str = ""

    @property
    def values(self) -> Mapping[str, str | Secret]:
        """The FIELDS that are known."""
        found: dict[str, str | Secret] = {
            "client_id": self.credential.client_id,
            "client_secret": self.credential.client_secret,
            "redirect_uri": self.redirect_uri,
            "authorize_url": self.authorize_url,
            "exchange_url": self.exchange_url,
        }
        return {name: value for name, value in found.items() if value}


def client(record: Record, credential: Credential, target: Target) -> Client:
    """The client of a record, with the credential that it holds."""
    facts = record.base
    at = home(facts, target)
    return Client(
        name=facts.name or record.path,
        path=record.path,
        location=target.location(record.path),
        version=record.current,
        credential=credential,
        redirect_uri=facts.redirect_uri,
        authorize_url=at.authorize_url,
        exchange_url=at.exchange_url,
        owner=facts.owner,
        nexus=at.nexus,
    )


class Home(NamedTuple):
    """The Nexus at which a credential works, and the addresses of its flow; what is not known is empty."""

    nexus: str
    authorize_url: str
    exchange_url: str


def home(facts: Facts, target: Target) -> Home:
    """Where a credential works: at the Nexus that its facts name, whatever the target says by now."""
    nexus, frontend = facts.nexus or target.nexus_url, facts.frontend or target.frontend_url
    return Home(nexus, authorize_url(frontend) if frontend else "", exchange_url(nexus) if nexus else "")


def authorize_url(frontend: str) -> str:
    """Where a browser is sent: the frontend's proxy, which is not versioned."""
    return f"{frontend}/api/oauth/authorize"


def exchange_url(nexus: str) -> str:
    """Where a code becomes a token: the backend, version 1, which answers with an OAuth object in every generation."""
    return f"{nexus}/api/v1/oauth/exchange"
