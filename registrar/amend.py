"""Amend: one application's entry of a manifest written in place, and every other character kept as it is.

Owns what a manifest shall say; `spelling` writes it. Pure: text in, text out. Must never return a text that means
anything else than was asked: each is read back by the reader of manifests and compared, and where that is in doubt it
refuses and names the line to edit by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from registrar import document, spelling
from registrar.document import Node, Reader, Scalar
from registrar.errors import UsageError
from registrar.spelling import KEYS, Value, refusal
from registrar.wording import quoted


class Written(NamedTuple):
    """What an entry says for every target, and what each has of its own; None where the application is not there."""

    base: Mapping[str, Value]
    targets: Mapping[str, Mapping[str, Value] | None]

    def own(self, target: str) -> Mapping[str, Value]:
        """What this target has of its own."""
        return self.targets.get(target) or {}


def create(text: str, values: Mapping[str, Value]) -> str:
    """The manifest with one more entry at the end of its list `apps`; where there is no document yet, a new one."""
    if missing := [key for key in _REQUIRED if key not in values]:
        raise UsageError(f"an application has no {missing[0]}", hint=f"give a {missing[0]}")
    bom, text = _unmarked(text)
    new = {key: values[key] for key in KEYS if key in values}
    wanted = _read(text)
    if wanted is None or wanted[2:] == ("", _NULL):
        after = spelling.first(text, new)
        wanted = document.Mapping(1, 1, [(Scalar(1, 1, "apps", _STRING), document.Sequence(1, 1, []))])
    else:
        root = _fields(wanted, "a manifest")
        apps = root.get("apps")
        if isinstance(apps, Scalar) and apps[2:] == ("", _NULL):
            apps = document.Sequence(apps.line, apps.column, [])
            _put(wanted, "apps", apps)
        if not isinstance(apps, document.Sequence):
            raise refusal("a manifest has a list `apps`, and here is none", (apps or wanted).line)
        after = spelling.appended(text, new, (apps if apps.items else wanted).line)
    entry = document.Mapping(1, 1, [])
    for key, value in new.items():
        _put(entry, key, _node(value))
    _apps(wanted).append(entry)
    _prove(after, wanted, wanted.line)
    return bom + after


def change(
    text: str,
    line: int,
    target: str,
    values: Mapping[str, Value | None],
    *,
    own: Collection[str] | None = None,
) -> str:
    """The manifest with these values of the entry that begins at this line changed for this target; None removes.

    `own` are the keys whose values shall be this target's alone; without it each value stays where it stands.
    """
    bom, text = _unmarked(text)
    wanted = _read(text)
    index, entry = _entry(wanted, line)
    for key in KEYS:
        if key not in values:
            continue
        there = _own(entry, target)
        alone = key in (there if own is None else own)
        dropped = [(target, None)] if key in there and not alone else []
        for where, value in (*dropped, (target if alone else "", values[key])):
            changed = _changed(text, index, entry, where, key, value)
            if changed != text:
                text = changed
                _prove(text, wanted, line)
    return bom + text


def _changed(text: str, index: int, entry: document.Mapping, target: str, key: str, value: Value | None) -> str:
    """The text, and `entry`, with this value of a key: this target's own, or where that is empty, everybody's."""
    fields = _own(entry, target) if target else _fields(entry, "the application")
    before = fields.get(key)
    if (before is None and value is None) or (isinstance(before, Scalar) and _says(before, value)):
        return text
    if value is None and key in _REQUIRED and not target:
        raise UsageError(f"an application needs its {key}", hint=f"change the {key}, or remove the entry")
    way, last = (["targets", target] if target else []), key
    while way and value is None and len(_fields(_at(entry, way), last)) == 1:
        last = way.pop()  # what would be left empty goes with its last key
    text = spelling.written(text, index, way, last, value, entry.line)
    holder: Node = entry
    for step in way:
        if step not in _fields(holder, last):
            _put(holder, step, document.Mapping(1, 1, []))
        holder = _fields(holder, last)[step]
    _put(holder, last, None if value is None else _node(value))
    return text


def written(text: str, line: int) -> Written:
    """What the entry that begins at this line says."""
    _, entry = _entry(_read(_unmarked(text)[1]), line)
    fields = _fields(entry, "the application")
    targets: dict[str, Mapping[str, Value] | None] = {}
    for name, node in _fields(fields["targets"], "`targets`").items() if "targets" in fields else ():
        absent = isinstance(node, Scalar)
        targets[name] = None if absent else _values(_fields(node, f"target {quoted(name)} of the application"))
    return Written(_values(fields), targets)


# ── what a manifest says ──────────────────────────────────────────────────────────────────────────────────────────────

_REQUIRED: Final = ("name", "redirect_uri")
_STRING: Final = "a string"  # as the reader of documents calls its kinds
_BOOLEAN: Final = "a boolean"
_NULL: Final = "no value"


def _unmarked(text: str) -> tuple[str, str]:
    """The byte order mark, if any, and the text without it, which is what marks and the reader count in."""
    return ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)


def _read(text: str) -> Node | None:
    """What the reader of manifests sees, or None where there is nothing but comments."""
    reader = Reader("")
    node = reader.read(text.encode(errors="surrogatepass"))
    if node is None and any(line.lstrip(" \t")[:1] not in ("", "#") for line in spelling.BREAK.split(text)):
        found = reader.findings[0]
        raise refusal(f"this cannot be edited safely: {found.message}", found.line)
    return node


def _fields(node: Node, what: str) -> dict[str, Node]:
    """The values of a mapping by key, where each key is a string and is there once."""
    if not isinstance(node, document.Mapping):
        raise refusal(f"{what} is not a mapping", node.line)
    fields: dict[str, Node] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            raise refusal(f"a key of {what} is not a string", key.line)
        if key.text == "<<":
            raise refusal("a merge key `<<` is not read here", key.line)
        if key.text in fields:
            raise refusal(f"the key {quoted(key.text)} is written twice", key.line)
        fields[key.text] = value
    return fields


def _apps(root: Node | None) -> list[Node]:
    apps = _fields(root, "a manifest").get("apps") if root else None
    return apps.items if isinstance(apps, document.Sequence) else []


def _entry(root: Node | None, line: int) -> tuple[int, document.Mapping]:
    """The entry that begins at this line, and its number in the list."""
    found = [(index, node) for index, node in enumerate(_apps(root)) if node.line == line]
    if not found:
        raise refusal("no application begins there; the file may have changed", line)
    if len(found) > 1:
        raise refusal("several applications begin in the same line", line)
    index, node = found[0]
    if not isinstance(node, document.Mapping):
        raise refusal("the application is not a mapping", line)
    return index, node


def _own(entry: document.Mapping, target: str) -> dict[str, Node]:
    """The fields that this target has of its own."""
    targets = _fields(entry, "the application").get("targets")
    own = _fields(targets, "`targets`").get(target) if targets else None
    if isinstance(own, Scalar) and own.kind == _BOOLEAN:
        raise refusal(f"the application is not there on target {quoted(target)}", own.line)
    return _fields(own, f"target {quoted(target)} of the application") if own else {}


def _values(fields: Mapping[str, Node]) -> dict[str, Value]:
    """The keys that have a value of their kind."""
    found: dict[str, Value] = {}
    for key in KEYS:
        node = fields.get(key)
        if isinstance(node, Scalar) and node.kind in (_STRING, _BOOLEAN):
            found[key] = node.text.lower() == "true" if node.kind == _BOOLEAN else node.text
    return found


def _at(node: Node, way: list[str]) -> Node:
    for key in way:
        node = _fields(node, "")[key]
    return node


def _node(value: Value) -> Scalar:
    return Scalar(1, 1, str(value).lower(), _BOOLEAN) if isinstance(value, bool) else Scalar(1, 1, value, _STRING)


def _says(node: Scalar, value: Value | None) -> bool:
    """Whether that is what is written already; the reader takes True for true, but not yes."""
    text = node.text.lower() if node.kind == _BOOLEAN else node.text
    return value is not None and (text, node.kind) == _node(value)[2:]


def _put(node: Node, key: str, value: Node | None) -> None:
    """Make a mapping say this of a key, which it has once at most."""
    if not isinstance(node, document.Mapping):
        raise TypeError("only a mapping has keys")
    others = [pair for pair in node.pairs if not (isinstance(pair[0], Scalar) and pair[0].text == key)]
    node.pairs[:] = others if value is None else [*others, (Scalar(1, 1, key, _STRING), value)]


def _meaning(node: Node | None) -> Any:
    """What a node says: without its places, and keys in any order."""
    if isinstance(node, document.Mapping):
        return "mapping", sorted(((_meaning(key), _meaning(value)) for key, value in node.pairs), key=repr)
    if isinstance(node, document.Sequence):
        return "sequence", [_meaning(item) for item in node.items]
    return node and node[2:]


def _prove(text: str, wanted: Node | None, line: int) -> None:
    """Refuse a text that does not say exactly this."""
    try:
        same = _meaning(_read(text)) == _meaning(wanted)
    except UsageError as error:
        raise refusal(f"written, it could not be read back: {error.message}", line) from None
    if not same:
        raise refusal("this cannot be written without changing something else", line)
