"""The authorization-code flow as a client of Nexus meets it: for now the quiet proof of a credential.

Owns what the answers of authorize and exchange mean. Must never ask with a token, use the right state in a proof, or
send a secret that Nexus cannot have issued.
"""

from __future__ import annotations

import re
from typing import Final

from registrar.model import Credential
from registrar.nexus.answers import code_of, elsewhere, error, said
from registrar.nexus.session import V1, V2, Anonymous, Generation
from registrar.nexus.wire import BUSY, Answer, Failure, Repeat
from registrar.ports import Finding, Verdict
from registrar.secret import Secret

ISSUED: Final = re.compile(r"[A-Za-z0-9_-]{86}")
"""A client secret as Nexus makes it: 64 random bytes in base64url."""

# Nexus logs both.
STATE: Final = "registrar-probe"
WRONG_STATE: Final = "registrar-probe-this-state-is-wrong-on-purpose"

_NO_CLIENT: Final = "no living application has this client id"
_TELLS: Final = (
    # Nexus compares client id, redirect URI and secret before the state.
    ("State validation failed", Verdict.RIGHT, "client id, redirect URI and secret are right"),
    ("State parameter mismatch", Verdict.RIGHT, "client id, redirect URI and secret are right"),
    ("Token exchange attempt with invalid client_secret", Verdict.WRONG, "the client secret is wrong"),
    ("Token exchange attempt with unknown redirect_uri", Verdict.WRONG, "the redirect URI is not the registered one"),
    ("Authorization attempt with invalid client_id", Verdict.WRONG, _NO_CLIENT),
)
"""How an answer begins and what it tells; what follows may be text of ours, a redirect URI for one."""


class QuietProof(Anonymous):
    """Proves credentials without a Nexus account, a token or a trace: by an exchange that fails at its wrong state."""

    def prove(self, credential: Credential, redirect_uri: str) -> Verdict:
        return self.examine(credential, redirect_uri).verdict

    def examine(self, credential: Credential, redirect_uri: str) -> Finding:
        """The verdict with its reason; ServiceErrors where no Nexus answers at all."""
        # Nexus looks at the first 72 bytes only, so it would call a secret right that lost or gained an end.
        if not ISSUED.fullmatch(credential.client_secret.reveal()):
            return Finding(Verdict.WRONG, "the client secret is not 86 base64url characters, as Nexus issues them")
        untold = []
        # v1 first: some stages of v2 hide every reason behind the same 500.
        for generation in (V1, V2):
            outcome = self._ask(generation, credential, redirect_uri)
            if isinstance(outcome, Failure) or outcome.status in BUSY:
                raise error(outcome, f"proving {credential.client_id}", effect=False)
            if elsewhere(outcome):
                continue
            finding = _finding(generation, outcome)
            if finding.verdict is not Verdict.UNTOLD:
                return finding
            untold.append(finding.reason)
        if not untold:
            raise error(outcome, f"proving {credential.client_id}", effect=False)
        return Finding(Verdict.UNTOLD, "; ".join(untold))

    def _ask(self, generation: Generation, credential: Credential, redirect_uri: str) -> Answer | Failure:
        """The answer to the exchange, or that to authorize where it gives no code.

        Asked for without a token, a code belongs to nobody and never becomes one; no refusal uses it up.
        """
        ours = {"client_id": credential.client_id, "redirect_uri": redirect_uri}
        authorize, exchange = generation.path("/oauth/authorize"), generation.path("/oauth/exchange")
        outcome = self._wire.send("GET", authorize, query={**ours, "state": STATE}, repeat=Repeat.ALWAYS)
        code = code_of(outcome, STATE) if isinstance(outcome, Answer) else None
        if code is None:
            return outcome
        secrets: dict[str, str | Secret] = {"client_secret": credential.client_secret, "code": code}
        return self._wire.send("POST", exchange, query={**ours, **secrets, "state": WRONG_STATE}, repeat=Repeat.ALWAYS)


def _finding(generation: Generation, answer: Answer) -> Finding:
    text = said(answer)
    for words, verdict, reason in _TELLS:
        if text.startswith(words):
            return Finding(verdict, reason)
    if generation is V2 and V2.is_absent(answer):
        return Finding(Verdict.WRONG, _NO_CLIENT)
    return Finding(Verdict.UNTOLD, f"{generation.version} does not tell: {answer.status} {text}".rstrip())
