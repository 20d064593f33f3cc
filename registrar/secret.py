"""Secret: a string that masks itself wherever it might be shown.

Owns the only way back to the raw value, `reveal()`, which the import contracts allow in the few modules that send or
deliberately show one. Must never put the value into a message, a comparison's timing or a serialisation.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from typing import Final, Never, final
from urllib.parse import quote

MASK: Final = "********"


@final
class Secret:
    """A string that prints as asterisks, compares in constant time and refuses to be serialised."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The raw value, to be opened only inside the call that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    # Unhashable: a hash of a short secret would give it away to whoever can list a dict's order.
    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self  # dataclasses.asdict copies deeply; the copy has to stay masked

    def __reduce__(self) -> Never:
        raise TypeError("a Secret is never pickled")

    def __getstate__(self) -> Never:
        raise TypeError("a Secret is never serialised")


def hide(text: bytes, secrets: Iterable[Secret]) -> bytes:
    """The text without these secrets, however they are spelt there: a refusal may quote the request it refuses."""
    for secret in secrets:
        value = secret._value  # noqa: SLF001 (this module owns it)
        for spelling in {value, json.dumps(value)[1:-1], quote(value), quote(value, safe="")} - {""}:
            text = text.replace(spelling.encode(), MASK.encode())
    return text
