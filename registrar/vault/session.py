"""A session with Vault: who we are there, logged in at the first request, with a token that lives as long as the run.

Owns the token: got once whichever thread comes first, renewed before it ends, got anew where it can be. Must never send
a write twice, except where a 403 to a token that was dead says that nothing was done.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from registrar.errors import AccessDenied, ServiceError
from registrar.secret import Secret
from registrar.vault.answers import Answer, Call, refusal
from registrar.vault.login import Login, Token, token_of
from registrar.vault.wire import Wire, checked

_LOOK_UP: Final = Call("GET", "auth/token/lookup-self", sealed=True)  # the answer shows the token itself
_SOON_S: Final = 5.0
"""How long a renewal may take, everybody waiting for it, and after how long one that failed is tried again."""

_DEAD: Final = "the token has ended or was revoked, or its policy lacks auth/token/lookup-self"
_DEAD_HINT: Final = "vault login, or set VAULT_TOKEN anew"


@dataclass(frozen=True, slots=True)
class _Held:
    """The token in use; the times are on the monotonic clock."""

    token: Token
    ends_at: float = math.inf
    renew_at: float = math.inf

    @classmethod
    def since(cls, token: Token, began: float) -> _Held:
        """Counted from before it was asked for; renewed after two thirds, as Vault's own agent does."""
        if not token.life_s:
            return cls(token)
        return cls(token, began + token.life_s, began + token.life_s * 2 / 3)


@dataclass(frozen=True, slots=True)
class Holder:
    """What Vault says of the token in use; without an end `life_s` is None, without a limit `uses` is 0."""

    name: str
    policies: tuple[str, ...]
    life_s: int | None
    renewable: bool
    uses: int


class Session:
    """The requests of one identity to one Vault, for any number of threads."""

    def __init__(self, wire: Wire, identity: Secret | Login) -> None:
        self._wire = wire
        self._login = identity if isinstance(identity, Login) else None
        self._held = _Held(Token(checked(identity))) if isinstance(identity, Secret) else None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give back a token that this session got, and the connections; a static one is its owner's."""
        if self._login and self._held:
            # a policy without `default` may not do this; the token then ends by itself
            revoke = Call("POST", "auth/token/revoke-self", body={})
            self._wire.send(revoke, self._held.token.secret, timeout_s=_SOON_S, tries=1)
            self._held = None
        self._wire.close()

    @property
    def addr(self) -> str:
        return self._wire.addr

    def anonymous(self, call: Call) -> Answer | ServiceError:
        """The answer to nobody, which tells whether anybody is there."""
        return self._wire.send(call, None)

    def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        sealed: bool = False,
        rooted: bool = False,
    ) -> Answer:
        """Read or list; a 404 that gives no reason is an answer, other failures raise."""
        return self._result(Call("GET", path, query or {}, sealed=sealed, rooted=rooted))

    def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Ask what takes a POST and changes nothing."""
        return self._result(Call("POST", path, body=body))

    def post(self, path: str, body: Mapping[str, Any], *, timeout_s: float | None = None) -> Answer:
        """Write, once: one whose outcome nobody knows might undo, sent again, what somebody wrote since."""
        return self._result(Call("POST", path, body=body, writes=True), timeout_s)

    def holder(self) -> Holder:
        """Who Vault takes us for, and for how long; AccessDenied where it takes us for nobody."""
        answer = self._result(_LOOK_UP)
        told = answer.data
        life_s = told.get("ttl") or 0
        # a token that never ends has a ttl of 0 and no end; one that ends within this second has the same ttl
        return Holder(
            name=_open(told.get("display_name")),
            policies=tuple(map(_open, told.get("policies") or ())),
            life_s=life_s if life_s or told.get("expire_time") else None,
            renewable=told.get("renewable") is True,
            uses=told.get("num_uses") or 0,
        )

    def outlive(self, needed_s: int) -> Holder:
        """See that the token lasts that long, by renewal where it has to be; AccessDenied says what it has left."""
        began = monotonic()
        holder = self.holder()
        if holder.life_s is None:
            return holder
        with self._lock:
            held = self._held or self._anew()
            token = Token(held.token.secret, holder.life_s, holder.renewable)
            if holder.renewable and holder.life_s < needed_s:
                token = self._renewed(token, needed_s) or token
            self._held = _Held.since(token, began)
        if token.life_s < needed_s and self._login is None:
            raise AccessDenied(
                f"the Vault token ends in {token.life_s} s, and this run may need {needed_s} s",
                hint="log in to Vault again, or give the pipeline's token a longer life",
            )
        return holder

    def _result(self, call: Call, timeout_s: float | None = None) -> Answer:
        token = self._token()
        outcome = self._wire.send(call, token, timeout_s=timeout_s)
        if isinstance(outcome, Answer) and outcome.denied and self._dead(token):
            if self._login is None:
                raise AccessDenied(f"Vault refuses {call.capability} on {call.path}: {_DEAD}", hint=_DEAD_HINT)
            outcome = self._wire.send(call, self._token(instead_of=token), timeout_s=timeout_s)
        if isinstance(outcome, ServiceError):
            raise outcome
        error = refusal(call, outcome)
        if error is not None:
            raise error
        return outcome

    def _dead(self, token: Secret) -> bool:
        """Whether a 403 was about the token and not about the path: Vault answers both with the same words."""
        looked = self._wire.send(_LOOK_UP, token)
        return isinstance(looked, Answer) and looked.denied

    def _token(self, instead_of: Secret | None = None) -> Secret:
        """The token to send; whoever comes first with a dead or an ending one sees to it for all."""
        with self._lock:
            held = self._held
            if held is None or (instead_of is not None and held.token.secret is instead_of):
                held = self._anew()
            elif monotonic() >= held.renew_at:
                held = self._prolonged(held)
            self._held = held
            return held.token.secret

    def _anew(self) -> _Held:
        """A token of a new login; a static one stays what it is."""
        if self._login is None:
            raise AccessDenied(f"Vault has no use for the token any more: {_DEAD}", hint=_DEAD_HINT)
        began = monotonic()
        call = self._login.call()
        outcome = self._wire.send(call, None, tries=1 if self._login.spends else 3)
        if isinstance(outcome, ServiceError):
            raise outcome
        token = token_of(outcome.auth) if outcome.status == 200 else None
        if token is None:
            raise self._login.error(call, outcome)
        return _Held.since(token, began)

    def _prolonged(self, held: _Held) -> _Held:
        """The token renewed, else one of a new login; the old one for as long as neither can be had."""
        began = monotonic()
        renewed = self._renewed(held.token, held.token.life_s) if held.token.renewable else None
        # near the end of its longest life a renewal gives next to nothing
        if renewed and began + renewed.life_s > held.ends_at + 1:
            return _Held.since(renewed, began)
        with suppress(ServiceError):
            if self._login:
                return self._anew()
        return replace(held, renew_at=monotonic() + _SOON_S)

    def _renewed(self, token: Token, life_s: int) -> Token | None:
        """The same token with this life, or with less where its longest life is near; None where Vault will not."""
        body = {"increment": f"{max(life_s, token.life_s)}s"}
        renew = Call("POST", "auth/token/renew-self", body=body)
        outcome = self._wire.send(renew, token.secret, timeout_s=_SOON_S)
        if not isinstance(outcome, Answer) or outcome.status != 200:
            return None
        renewed = token_of(outcome.auth)
        return Token(token.secret, renewed.life_s, renewed.renewable) if renewed else None


def _open(name: object) -> str:
    """A name out of an answer that was sealed as a whole, since it shows the token too."""
    return name.reveal() if isinstance(name, Secret) else ""
