"""What an approval covers of a plan: where it is carried out, and every step as far as it is no wording and no time.

Works on steps as documents, so that a plan that comes back from a file is judged by the same code as one just made.
Pure. Must never cover what changes by itself: an approval must not go stale because an hour has passed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from registrar.model import Target
from registrar.steps import Expire, Keep

StepDocument = dict[str, Any]
"""A step as `steps.document` has it."""

OUTSIDE: Final = frozenset({Keep.operation, Expire.operation})
"""The operations that no approval covers; an Expire is due by the clock."""
_WORDS: Final = frozenset({"reason", "hint", "notes", "note", "then", "source"})


def covered(steps: Iterable[StepDocument]) -> list[StepDocument]:
    """The steps but Keep and Expire, with their values and the record versions they rest on, without words."""
    return [_wordless(step) for step in steps if step["operation"] not in OUTSIDE]


def _wordless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _wordless(item) for key, item in value.items() if key not in _WORDS}
    return [_wordless(item) for item in value] if isinstance(value, list) else value


def where(target: Target) -> dict[str, str]:
    """What makes a target the one that was meant; its name does not, which each repository gives as it likes."""
    names = ("nexus_url", "frontend_url", "vault_addr", "vault_namespace", "vault_mount", "vault_prefix", "set")
    return {name: getattr(target, name) for name in names}


def digest(target: Target, steps: Iterable[StepDocument]) -> str:
    """32 hexadecimal digits over where it is carried out and what is covered of these steps, in their order."""
    vault = [target.vault_addr, target.vault_namespace, target.location("")]
    place = [target.nexus_url, target.frontend_url, *vault, target.set]
    text = json.dumps([place, covered(steps)], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
