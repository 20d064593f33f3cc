"""Spelling: how a manifest is written, and where in its text a key, a value or the end of a list stands.

Owns quotes, indentation, line ends and the comments between. Pure: text in, text out. What it returns may be wrong for
an odd text, so `amend` reads every text back and compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from registrar import export
from registrar.errors import UsageError
from registrar.model import FIELDS

KEYS: Final = (*FIELDS, "path", "protected")
"""The keys that can be written, in the order in which a new one is put among them."""

Value: TypeAlias = str | bool
Nested: TypeAlias = "Value | Mapping[str, Nested]"


def refusal(reason: str, line: int) -> UsageError:
    """It cannot be edited safely by a program."""
    return UsageError(reason, hint=f"edit it by hand: line {line}")


# ── where it is written ───────────────────────────────────────────────────────────────────────────────────────────────

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what ends a line, and a comment, in YAML 1.1
_BLANKS: Final = " \t\r\n\x85\u2028\u2029"
_HEADER: Final = re.compile("[|>][0-9+-]*")


_COLON: Final = re.compile(r"\s*:")


class _Part(NamedTuple):
    """A node in the text: from where to where, and the nodes in it; those of a mapping are keys and values by turns."""

    start: int
    end: int
    text: str
    style: str  # of a scalar: its quote, | or >, nothing for a plain one, - for what is none
    flow: bool
    odd: str  # what makes it unfit to be edited
    parts: list[_Part]

    @property
    def pairs(self) -> list[tuple[_Part, _Part]]:
        return list(zip(self.parts[::2], self.parts[1::2], strict=True))


def _parts(text: str) -> _Part:
    """The root of a text that the reader has read, so that it is one document, and not deep."""
    events = iter(yaml.parse(text, Loader=_LOADER))
    while type(next(events)) is not DocumentStartEvent:
        pass
    return _part(text, next(events), events)


def _part(text: str, event: Any, events: Iterator[Any]) -> _Part:
    start, end = event.start_mark.index, event.end_mark.index
    if type(event) is AliasEvent:
        return _Part(start, end, "", "-", False, "an alias", [])
    odd = "an anchor" if event.anchor else "a tag" if event.tag else ""
    if type(event) is ScalarEvent:
        return _Part(start, end, event.value, event.style or "", False, odd, [])
    parts: list[_Part] = []
    while type(child := next(events)) not in (MappingEndEvent, SequenceEndEvent):
        part = _part(text, child, events)
        # The parsers put a value that is not there before or after the blanks and comments that follow the colon.
        if type(event) is MappingStartEvent and len(parts) % 2 and part.start == part.end:
            colon = _COLON.match(text, parts[-1].end)
            part = part._replace(start=colon.end(), end=colon.end()) if colon else part
        parts.append(part)
    return _Part(start, child.end_mark.index, "", "-", bool(event.flow_style), odd, parts)


def _tail(text: str, part: _Part) -> int:
    """Where a node's last line is to be found: the blank lines after a block scalar are seldom meant to be its own."""
    if part.style == "-" and not part.flow and part.parts:
        return _tail(text, part.parts[-1])
    if part.style not in ("|", ">"):
        return part.end
    body = text[part.start : part.end]
    if (header := _HEADER.match(body)) and "+" in header[0]:
        return part.start + len(_chopped(body))
    return part.start + len(body.rstrip(_BLANKS))


def _chopped(text: str) -> str:
    """The text without the line break that it ends with, if any."""
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text[:-1] if BREAK.match(text[-1:]) else text


def _line_start(text: str, at: int) -> int:
    return max(text.rfind(character, 0, at) for character in "\r\n\x85\u2028\u2029") + 1


def _line_end(text: str, at: int) -> int:
    """Where the line ends, before its break."""
    found = BREAK.search(text, at)
    return found.start() if found else len(text)


def _break(text: str, at: int) -> str:
    """What a new line here ends with: what this one does, or the first one, or as on Unix."""
    found = BREAK.match(text, at) or BREAK.search(text)
    return found[0] if found else "\n"


def _with_lines(text: str, at: int, lines: list[str]) -> str:
    """With these lines after the one that ends here."""
    return text[:at] + "".join(_break(text, at) + line for line in lines) + text[at:]


def _without_lines(text: str, start: int, end: int) -> str:
    """Without the lines from here to there; what ended without a line break still does."""
    if found := BREAK.match(text, end):
        return text[:start] + text[found.end() :]
    return _chopped(text[:start]) + text[end:]


# ── one key ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _names(holder: _Part, key: str, line: int) -> list[str]:
    """The keys of a mapping that is to be edited, unless it has what makes that unsafe."""
    if odd := next((part.odd for part in (holder, *holder.parts[::2]) if part.odd), ""):
        raise refusal(f"what {key} stands in has {odd}", line)
    return [name.text for name in holder.parts[::2]]


def written(text: str, index: int, way: list[str], key: str, value: Value | None, line: int) -> str:
    """With this value for the key, where this way leads to from the entry of this number."""
    holder = _parts(text)
    for number, step in enumerate(("apps", *way)):
        names = _names(holder, key, line)
        if step not in names:  # a target that has nothing of its own yet
            return text if value is None else _inserted(text, holder, names, step, _nested([*way[number:], key], value))
        holder = holder.parts[names.index(step) * 2 + 1]
        if step == "apps":
            holder = holder.parts[index]
    names = _names(holder, key, line)
    if key not in names:
        return text if value is None else _inserted(text, holder, names, key, value)
    at = names.index(key)
    old = holder.pairs[at][1]
    if old.odd:
        raise refusal(f"{key} has {old.odd}", line)
    if value is None:
        return (_removed_in_flow if holder.flow else _removed)(text, holder.pairs, at)
    if old.style == "-":
        raise refusal(f"{key} is not a single value", line)
    return _replaced(text, old, _scalar(value, old.style, flow=holder.flow))


def _nested(way: Sequence[str], value: Value) -> Nested:
    """The value below these keys."""
    return {way[0]: _nested(way[1:], value)} if way else value


def _replaced(text: str, old: _Part, scalar: str) -> str:
    if header := _HEADER.match(text, old.start) if old.style in ("|", ">") else None:
        end = _line_end(text, old.start)
        return text[: old.start] + scalar + text[header.end() : end] + text[max(end, _tail(text, old)) :]
    gap = " " if old.start == old.end and text[old.start - 1] not in " \t" else ""
    return text[: old.start] + gap + scalar + text[old.end :]


def _inserted(text: str, holder: _Part, names: list[str], key: str, value: Nested) -> str:
    """After the nearest key that comes before it in the order of keys, or else as the first one.

    What is in no order, as targets are, comes last.
    """
    lines = _entries({key: value}, flow=holder.flow)
    earlier = KEYS[: KEYS.index(key)] if key in KEYS else names
    before = next((name for name in reversed(earlier) if name in names), None)
    first = holder.parts[0].start if holder.parts else holder.start + 1
    indent = " " * (first - _line_start(text, first))
    if before is None:
        end = _break(text, _line_end(text, first)) + indent
        behind = "" if not holder.parts else ", " if holder.flow else end
        return text[:first] + end.join(lines) + behind + text[first:]
    name, old = holder.pairs[names.index(before)]
    if holder.flow:
        return _after_in_flow(text, name.start, old.end, lines[0])
    return _with_lines(text, _line_end(text, _tail(text, old)), [indent + line for line in lines])


def _entries(values: Mapping[str, Nested], *, flow: bool) -> list[str]:
    """Keys with their values, a line each, or two and more for what is nested and not in braces."""
    lines: list[str] = []
    for key, value in values.items():
        name = _scalar(key, flow=flow)
        if not isinstance(value, Mapping):
            lines.append(f"{name}: {_scalar(value, flow=flow)}")
        elif flow:
            lines.append(f"{name}: {{{', '.join(_entries(value, flow=True))}}}")
        else:
            lines += [f"{name}:", *(f"  {line}" for line in _entries(value, flow=False))]
    return lines


_FLOW_REST: Final = re.compile("([ \t]*,)?[ \t]*(?:#.*)?", re.DOTALL)


def _after_in_flow(text: str, start: int, end: int, new: str) -> str:
    """Put one more behind what is written from here to there: on a line of its own, if that has one to itself."""
    begin, close = _line_start(text, start), _line_end(text, end)
    rest = _FLOW_REST.fullmatch(text, end, close)
    if rest is None or text[begin:start].strip(" "):
        return f"{text[:end]}, {new}{text[end:]}"
    comma, missing = (",", "") if rest[1] else ("", ",")
    return text[:end] + missing + text[end:close] + _break(text, close) + text[begin:start] + new + comma + text[close:]


def _removed(text: str, pairs: list[tuple[_Part, _Part]], at: int) -> str:
    """Without the lines of a key; where they begin with the dash of the entry, the dash stays."""
    start, end = pairs[at][0].start, _line_end(text, _tail(text, pairs[at][1]))
    begin = _line_start(text, start)
    lead = text[begin:start]
    if not lead.strip(" ") or at + 1 == len(pairs):
        return _without_lines(text, begin, end)
    after = pairs[at + 1][0].start
    if text[end:after].strip(" ") == _break(text, end):
        return text[:start] + text[after:]
    return text[:begin] + lead.rstrip(" ") + text[end:]


def _removed_in_flow(text: str, pairs: list[tuple[_Part, _Part]], at: int) -> str:
    """Without a key and a comma; what is between them is blank, or else the reading back fails."""
    start, end = pairs[at][0].start, pairs[at][1].end
    begin, close = _line_start(text, start), _line_end(text, end)
    alone = not text[begin:start].strip(" ")
    if alone and _FLOW_REST.fullmatch(text, end, close):
        return _without_lines(text, begin, close)
    if at + 1 < len(pairs) and (alone or at == 0):
        gap, rest = text[end : pairs[at + 1][0].start], pairs[at + 1][0].start
        return text if "#" in gap else text[:start] + text[rest:]
    before = pairs[at - 1][1].end
    # a comma may be the last in a mapping, so that a comment behind it can stay
    return text[: start if "#" in text[before:start] else before] + text[end:]


# ── one more entry ────────────────────────────────────────────────────────────────────────────────────────────────────


def first(text: str, new: Mapping[str, Value]) -> str:
    end = _break(text, len(text))
    head = text if BREAK.search(text, len(text) - 1) or not text else text + end
    return head + end.join(["apps:", *_block(new, "  - ")]) + end


def appended(text: str, new: Mapping[str, Value], line: int) -> str:
    """With one more entry in a list that is there, though perhaps empty, in the style of the last one."""
    root = _parts(text)
    key, apps = root.pairs[_names(root, "`apps`", line).index("apps")]
    if apps.odd:
        raise refusal(f"the list `apps` has {apps.odd}", line)
    column = key.start - _line_start(text, key.start)
    if apps.flow and apps.parts:
        return _after_in_flow(text, apps.parts[-1].start, apps.parts[-1].end, _flow(new))
    if apps.flow:
        colon = re.compile("[ \t]*:").match(text, key.end)
        empty = not (text[key.end : apps.start].strip(" \t:") or text[apps.start + 1 : apps.end - 1].strip(_BLANKS))
        if root.flow or not empty or not colon:
            return text[: apps.start + 1] + _flow(new) + text[apps.start + 1 :]
        return appended(text[: colon.end()] + text[apps.end :], new, line)
    if root.flow:
        return f"{text[: apps.start]} [{_flow(new)}]{text[apps.start :]}"
    if not apps.parts:
        lines = _block(new, " " * (column + 2) + "- ")
        return _with_lines(text, _past_comments(text, _line_end(text, apps.end), column), lines)
    last = apps.parts[-1]
    column = apps.start - _line_start(text, apps.start)
    lead = text[_line_start(text, last.start) : last.start]
    lines = _block(new, lead if re.fullmatch(" *- +", lead) else " " * column + "- ", flow=last.flow)
    if len(apps.parts) > 1:
        gap = text[_tail(text, apps.parts[-2]) : last.start]
        lines = [""] * any(not line.strip(" \t") for line in BREAK.split(gap)[1:-1]) + lines
    return _with_lines(text, _past_comments(text, _line_end(text, _tail(text, last)), column), lines)


def _past_comments(text: str, at: int, column: int) -> int:
    """The end of the comments that follow a line and stand further in than this column, as those of an entry do."""
    while (found := BREAK.match(text, at)) and re.compile(f" {{{column + 1},}}#").match(text, found.end()):
        at = _line_end(text, found.end())
    return at


def _block(new: Mapping[str, Value], lead: str, *, flow: bool = False) -> list[str]:
    if flow:
        return [lead + _flow(new)]
    return [(" " * len(lead) if number else lead) + pair for number, pair in enumerate(_entries(new, flow=False))]


def _flow(new: Mapping[str, Value]) -> str:
    return "{" + ", ".join(_entries(new, flow=True)) + "}"


# ── one value ─────────────────────────────────────────────────────────────────────────────────────────────────────────

# What YAML 1.2 takes for something else than a string, and YAML 1.1 by its text though PyYAML does not.
_AMBIGUOUS: Final = re.compile(r"[-+.]?[0-9][0-9a-fox_.,:+-]*|\.inf|\.nan|[yn~]", re.IGNORECASE)


def _scalar(value: Value, style: str = "", *, flow: bool = False) -> str:
    """As YAML writes it, in the quotes that were there before if they will do."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UsageError("half a surrogate pair is no character", hint="leave it out")
    if style == "'" and value and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return export.scalar(value) if style in ("'", '"') or not _plain(value, flow=flow) else value


def _plain(value: str, *, flow: bool) -> bool:
    """Whether a text without quotes is that text to every reader, and to a person."""
    if not value.isprintable() or value != value.strip() or not (value[:1].isalnum() or value[:1] in ("/", "(")):
        return False
    if any(mark in f"{value} " for mark in (": ", " #", *"[]{}", *(",?:#" if flow else ""))):
        return False
    readings = yaml.SafeLoader.yaml_implicit_resolvers.get(value[0], ())
    return not _AMBIGUOUS.fullmatch(value) and not any(pattern.match(value) for _, pattern in readings)
