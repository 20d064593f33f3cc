"""Texts that look alike: what Unicode knows of its own characters (UTS #39), by way of confusable_homoglyphs.

Its tables take 40 ms to read, so they are left alone until a text has a character that is not ASCII.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Final

_ASCII: Final = (("0", "O"), ("1", "l"), ("I", "l"), ("|", "l"), ("m", "rn"))
"""The ASCII part of confusables.txt, as far as names are written with it."""


def skeleton(name: str) -> str:
    """The form in which two names look the same, in any case of letters and with any space between words."""
    plain = name
    if not plain.isascii():
        plain = "".join(map(_prototype, unicodedata.normalize("NFKC", plain)))
    for character, drawn in _ASCII:  # str.translate takes three times as long
        plain = plain.replace(character, drawn)
    return " ".join(plain.casefold().split())


@functools.lru_cache(maxsize=4096)
def _prototype(character: str) -> str:
    """The character that this one is drawn like, or itself."""
    from confusable_homoglyphs.confusables import confusables_data

    # The table goes both ways: a character has the one that it looks like, and that one has all which look like it.
    alike = [one["c"] for one in confusables_data.get(character, ())]
    if character.isascii() or len(alike) != 1:
        return character
    (other,) = alike
    return str(other) if len(confusables_data.get(other, ())) > 1 or other.isascii() else min(character, str(other))


_TOGETHER: Final = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
"""Scripts that one word is written in (UTS #39, highly restrictive)."""


def mixed_scripts(label: str) -> str:
    """The scripts of a label that no language writes together, in words; empty where it has none."""
    from confusable_homoglyphs.categories import unique_aliases

    scripts = {str(script) for script in unique_aliases(label)} - {"COMMON", "INHERITED"}
    if len(scripts) < 2 or any(scripts <= allowed for allowed in _TOGETHER):
        return ""
    return " and ".join(sorted(script.capitalize() for script in scripts))
