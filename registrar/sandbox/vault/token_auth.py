"""auth/token/: what a token learns of itself, and tokens made with tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registrar.sandbox.vault import golang
from registrar.sandbox.vault.fields import Kind
from registrar.sandbox.vault.golang import SECOND, Malformed, timestamp
from registrar.sandbox.vault.logical import Call, Refused, Reply, Route
from registrar.sandbox.vault.tokens import MAX_TTL, Token, Tokens, random_id

_CREATE: dict[str, Kind] = {
    "policies": "texts",
    "ttl": "text",
    "lease": "text",
    "explicit_max_ttl": "text",
    "num_uses": "integer",
    "renewable": "flag",
    "type": "text",
    "no_default_policy": "flag",
    "no_parent": "flag",
    "display_name": "text",
    "meta": "map",
    "id": "text",
    "period": "text",
    "entity_alias": "text",
}
_NOT_SERVED = ("id", "period", "entity_alias")  # what Vault's own client sends empty


class TokenAuth:
    """The token method as one token sees it."""

    def __init__(self, tokens: Tokens, token: Token, now: int) -> None:
        self._tokens = tokens
        self._token = token
        self._now = now

    def routes(self) -> Sequence[Route]:
        return (
            Route("create", {"write": self._create}, _CREATE),
            Route("lookup-self", {"read": self._lookup, "write": self._lookup}),
            Route("lookup", {"write": self._lookup}, {"token": "text"}),
            Route("renew-self", {"write": self._renew}, {"increment": "seconds"}),
            Route("revoke-self", {"write": self._revoke_self}),
            Route("revoke", {"write": self._revoke}, {"token": "text"}),
        )

    def exists(self, _path: str) -> bool:
        return True

    def _lookup(self, call: Call) -> Reply:
        named = call.fields.get("token", "")
        token = self._tokens.find(named) if named else self._token
        if token is None:
            raise Refused("bad token", 403)
        data = {
            "accessor": token.accessor,
            "creation_time": token.issued // SECOND,
            "creation_ttl": token.ttl,
            "display_name": token.display_name,
            "entity_id": "",
            "expire_time": None if token.expires is None else timestamp(token.expires),
            "explicit_max_ttl": token.explicit_max_ttl,
            "id": token.id,
            "issue_time": timestamp(token.issued),
            "meta": token.meta,
            "num_uses": token.uses,
            "orphan": token.parent is None,
            "path": "auth/token/create",
            "policies": token.policies,
            "renewable": token.renewable,
            "ttl": token.remaining(self._now),
            "type": token.kind,
        }
        if token.renewed is not None:
            data |= {"last_renewal": timestamp(token.renewed), "last_renewal_time": token.renewed // SECOND}
        return Reply(data)

    def _renew(self, call: Call) -> Reply:
        token, increment = self._token, call.fields.get("increment", 0)
        if not token.renewable:
            raise Refused("batch tokens cannot be renewed" if token.kind == "batch" else "lease is not renewable")
        left = self._tokens.renew(token, increment)
        warnings = [_capped(increment, token.explicit_max_ttl or MAX_TTL)] if left < increment else []
        return Reply(auth=_auth(token, left), warnings=warnings)

    def _revoke_self(self, _call: Call) -> None:
        self._tokens.revoke(self._token.id)

    def _revoke(self, call: Call) -> None:
        if not call.fields.get("token"):
            raise Refused("missing token ID")
        self._tokens.revoke(call.fields["token"])

    def _create(self, call: Call) -> Reply:
        fields = call.fields
        kind = self._kind(fields)
        policies = self._policies(fields)
        warnings = [f'Policy "{name}" does not exist' for name in policies if not self._is_policy(name)]
        longest = _seconds(fields.get("explicit_max_ttl", ""))
        ttl = _seconds(fields.get("ttl") or fields.get("lease", ""))
        if not ttl and policies != ("root",):
            ttl = MAX_TTL
        limit = min(longest or MAX_TTL, MAX_TTL)
        if ttl > limit:
            warnings.append(_capped(ttl, limit))
            ttl = limit
        token = Token(
            id=f"{kind[0]}.{random_id()}",
            accessor=random_id() if kind == "service" else "",
            parent=None if fields.get("no_parent") else self._token.id,
            kind=kind,
            policies=policies,
            issued=self._now,
            ttl=ttl,
            explicit_max_ttl=longest,
            expires=self._now + ttl * SECOND if ttl else None,
            lease=ttl,
            renewed=None,
            renewable=bool(ttl) and kind == "service" and fields.get("renewable", True),
            uses=fields.get("num_uses", 0),
            display_name="-".join(["token", *fields.get("display_name", "").split()]),
            meta=fields.get("meta") or None,
        )
        self._tokens.add(token)
        return Reply(auth=_auth(token, ttl), warnings=warnings)

    def _kind(self, fields: Mapping[str, Any]) -> str:
        """Service or batch, once all that goes against it is out of the way."""
        for name in _NOT_SERVED:
            if fields.get(name, "") not in ("", "0", "0s"):
                raise Refused(f"the sandbox makes no token with {name}")
        kind: str = fields.get("type") or "service"
        if kind not in ("service", "batch"):
            raise Refused("invalid 'token_type' value")
        if fields.get("num_uses", 0) < 0:
            raise Refused("number of uses cannot be negative")
        if fields.get("num_uses") and kind == "batch":
            raise Refused('batch tokens cannot have "num_uses" set')
        if fields.get("no_parent") and not self._is_privileged():
            raise Refused("root or sudo privileges required to create orphan token")
        return kind

    def _policies(self, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """The policies of a new token: those asked for, which its maker must have, or else its maker's."""
        asked = {name.lower() for name in fields.get("policies", [])} or set(self._token.policies)
        if not self._is_privileged() and asked - {*self._token.policies, "default"}:
            raise Refused("child policies must be subset of parent")
        if "root" in asked:
            if "root" not in self._token.policies:
                raise Refused("root tokens may not be created without parent token being root")
            return ("root",)
        return tuple(sorted(asked if fields.get("no_default_policy") else asked | {"default"}))

    def _is_privileged(self) -> bool:
        own = self._token.policies
        return "root" in own or "sudo" in self._tokens.acl(self._token).capabilities("auth/token/create")

    def _is_policy(self, name: str) -> bool:
        return name == "root" or self._tokens.policy(name) is not None


def _seconds(text: str) -> int:
    try:
        whole = golang.seconds(text)
    except Malformed as error:
        raise Refused(str(error)) from None
    if whole < 0:
        raise Refused("ttl must be positive")
    return whole


def _capped(asked: int, limit: int) -> str:
    wish, most = golang.short_duration(asked), golang.short_duration(limit)
    return f'TTL of "{wish}" exceeded the effective max_ttl of "{most}"; TTL value is capped accordingly'


def _auth(token: Token, left: int) -> dict[str, Any]:
    return {
        "client_token": token.id,
        "accessor": token.accessor,
        "policies": token.policies,
        "token_policies": token.policies,
        "metadata": token.meta,
        "lease_duration": left,
        "renewable": token.renewable,
        "entity_id": "",
        "token_type": token.kind,
        "orphan": token.parent is None,
        "mfa_requirement": None,
        "num_uses": token.uses,
    }
