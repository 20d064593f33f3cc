"""A YAML file as nodes that know where they are written: the one way in which registrar reads YAML.

Built from the parser's events, so that duplicate keys, aliases and deep nesting are seen before anything is expanded.
Knows nothing of manifests or targets. Must never stop at the first finding where it can go on, nor show a value.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator
from string import ascii_letters, digits
from typing import Any, Final, NamedTuple, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from registrar.comments import waivers
from registrar.lint import RULES, Finding, Level, Place
from registrar.lint.waivers import Waiver, flaws
from registrar.wording import did_you_mean, quoted

SIZE_LIMIT_BYTES: Final = 4 * 1024 * 1024
_MOST: Final = 1_000  # findings of one file: nobody reads more, and a stranger's file may have half a million
_DEPTH_LIMIT: Final = 16  # a manifest needs five
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(NamedTuple):
    """A single value; `kind` is what YAML 1.1 takes it for, such as a boolean for a plain `yes`."""

    line: int
    column: int
    text: str
    kind: str


class Sequence(NamedTuple):
    """A list of nodes."""

    line: int
    column: int
    items: list[Node]


class Mapping(NamedTuple):
    """Keys with their values, in the order written, duplicates included."""

    line: int
    column: int
    pairs: list[tuple[Node, Node]]


Node: TypeAlias = Scalar | Sequence | Mapping

_STRING: Final = "a string"
_NULL: Final = "no value"
_BOOLEAN: Final = "a boolean"
_KINDS: Final = {
    "tag:yaml.org,2002:null": _NULL,
    "tag:yaml.org,2002:bool": _BOOLEAN,
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
}
_IMPLICIT: Final = yaml.SafeLoader.yaml_implicit_resolvers


def _kind(event: ScalarEvent) -> str:
    if event.tag is not None:
        return _STRING if event.tag in ("!", "tag:yaml.org,2002:str") else "a tagged value"
    if event.implicit[0]:
        for tag, pattern in _IMPLICIT.get(event.value[:1], ()):
            if pattern.match(event.value):
                return _KINDS.get(tag, _STRING)
    return _STRING


def _words(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.kind
    return "a list" if isinstance(node, Sequence) else "a mapping"


# What YAML calls printable (§5.1), less the byte order mark.
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ASCII: Final = bytes([*b"\t\n\r", *range(0x20, 0x7F)])  # which nothing is to be looked for in

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Reader:
    """Reads one file and keeps every finding about it, the waived ones apart."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.waived: list[Finding] = []
        self.waivers: tuple[Waiver, ...] = ()
        self.lines: set[int] = set()  # on which a value stands, in a file that has waivers

    def again(self) -> Reader:
        """One that goes on from here by itself: what it finds in the nodes that were read is its own."""
        other = Reader(self.file)
        other.findings, other.waived, other.waivers = [*self.findings], [*self.waived], self.waivers
        other.lines = {*self.lines}
        return other

    def place(self, node: Node) -> Place:
        """Where a node begins."""
        return Place(self.file, node.line, node.column)

    def report(
        self, message: str, at: Node | Place, *, rule: str = "MF001", hint: str = "", level: Level = Level.ERROR
    ) -> None:
        """Keep a finding."""
        place = at if isinstance(at, Place) else self.place(at)
        waived = level is Level.WARNING and any(
            waiver.valid and waiver.line == place.line and rule in waiver.rules for waiver in self.waivers
        )
        kept = self.waived if waived else self.findings
        if len(kept) == _MOST:
            rule, level, hint = "MF001", Level.ERROR, "mend these first"
            message = f"more is wrong in this file: {_MOST:,} findings are told, and no more"
        if len(kept) <= _MOST:
            kept.append(Finding(rule, level, message, *place, hint=hint or RULES[rule].fix))

    def read(self, data: bytes, public: Collection[str] = ()) -> Node | None:
        """The document in these bytes, or None if there is none; `public` keys may hold what looks like a secret."""
        text = self._text(data)
        if text is None:
            return None
        node = None
        try:
            node = _composed(text)
            if node is None:
                self.report("the file is empty", Place(self.file, 1, 1))
        except _Refused as refused:
            self.report(refused.message, Place(self.file, refused.line, refused.column), hint=refused.hint)
        self._waivers(text)
        for level, message, line, column in _secrets(text, public):
            self.report(message, Place(self.file, line, column), rule="MF002", level=level)
        return node

    def _waivers(self, text: str) -> None:
        found = waivers(text)
        for waiver in found:
            for flaw in flaws(waiver, RULES):
                hint = did_you_mean(flaw.unknown, RULES) if flaw.unknown else ""
                place = Place(self.file, waiver.line, waiver.column)
                self.report(flaw.message, place, rule=flaw.rule, level=flaw.level, hint=hint)
        self.waivers = found

    def _text(self, data: bytes) -> str | None:
        if len(data) > SIZE_LIMIT_BYTES:
            limit = SIZE_LIMIT_BYTES // 1024 // 1024
            self.report(f"the file is larger than {limit} MiB", Place(self.file, 1, 1), hint="split it into several")
            return None
        if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
            self.report("the file begins with a byte order mark", Place(self.file, 1, 1), hint="save it as plain UTF-8")
            return None
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            before = data[: error.start].decode()
            self.report("the file is not UTF-8 here", _after(self.file, before), hint="save it as plain UTF-8")
            return None
        if bad := data.translate(None, _ASCII) and _UNPRINTABLE.search(text):
            character = f"U+{ord(bad[0]):04X}"
            self.report(f"the character {character} is not allowed", _after(self.file, text[: bad.start()]))
            return None
        return text

    def fields(self, node: Node, known: Collection[str] | None, what: str) -> dict[str, Node]:
        """The values of a mapping by key; without `known` any key will do. `what` is what the mapping describes."""
        if not isinstance(node, Mapping):
            self.report(f"{what} is a mapping, not {_words(node)}", node)
            return {}
        if self.waivers:
            self.lines.update(value.line for _, value in node.pairs if isinstance(value, Scalar))
        values: dict[str, Node] = {}
        for key, value in node.pairs:
            if not isinstance(key, Scalar):
                self.report(f"a key is a string, not {_words(key)}", key)
            elif key.text in values:
                self.report(f"the key {quoted(key.text)} is written twice", key, hint="keep one of them")
            elif known is None and key.kind != _STRING:
                self.report(f"{quoted(key.text)} is read as {key.kind}, not as a string", key, hint="quote it")
            elif known is None or key.text in known:
                values[key.text] = value
            else:
                self._unknown(key, known, what)
        return values

    def _unknown(self, key: Scalar, known: Collection[str], what: str) -> None:
        if _SECRET_KEY.search(key.text):
            self.report(f"the key {quoted(key.text)} looks like that of a secret", key, rule="MF002")
            return
        self.report(f"{what} has no key {quoted(key.text)}", key, hint=did_you_mean(key.text, known))

    def string(self, node: Node, key: str) -> str | None:
        """A string exactly as written, or None and a finding."""
        if not isinstance(node, Scalar):
            self.report(f"{key} is a string, not {_words(node)}", node)
        elif node.kind == _NULL:
            self.report(f"{key} has no value", node, hint='write "" for an empty one, or leave the key out')
        elif node.kind != _STRING:
            self.report(f"{key} is a string, but this is read as {node.kind}", node, hint="quote it")
        elif not node.text.isascii() and _SURROGATE.search(node.text):
            self.report(f"{key} has half a surrogate pair, which is no character", node)
        else:
            return node.text
        return None

    def boolean(self, node: Node, key: str) -> bool | None:
        """True or false, or None and a finding."""
        # YAML 1.1 takes yes, no, on and off for booleans and YAML 1.2, like most editors, for strings.
        if isinstance(node, Scalar) and node.kind == _BOOLEAN and node.text.lower() in ("true", "false"):
            return node.text.lower() == "true"
        self.report(f"{key} is true or false", node, hint="write true or false, without quotes")
        return None

    def items(self, node: Node, key: str) -> list[Node]:
        """The items of a list, or none and a finding."""
        if isinstance(node, Sequence):
            return node.items
        self.report(f"{key} is a list, not {_words(node)}", node)
        return []


class _Refused(Exception):
    """The text cannot be read any further than this mark."""

    def __init__(self, message: str, mark: Any, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = mark.line + 1 if mark else 1
        self.column = mark.column + 1 if mark else 1


_ENDS: Final = (SequenceEndEvent, MappingEndEvent)


class _Composer:
    """Builds nodes out of the parser's events, and refuses what would be larger than it is written."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        """The one document of the stream."""
        node = None
        for event in self._events:
            if type(event) is DocumentStartEvent:
                if node is not None:
                    raise _Refused("a second document begins here", event.start_mark, "keep one document in a file")
                node = self._node(next(self._events), 0)
        return node

    def _node(self, event: Any, depth: int) -> Node:
        if type(event) is ScalarEvent:
            return self._scalar(event)
        if type(event) is AliasEvent:
            return self._aliased(event)
        mark = event.start_mark
        node: Node
        if depth == _DEPTH_LIMIT:
            raise _Refused("this is nested too deeply", mark)
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise _Refused("a tag is not allowed here", mark, "remove the word that begins with !")
        if type(event) is SequenceStartEvent:
            node = Sequence(mark.line + 1, mark.column + 1, self._children(depth))
        else:
            children = iter(self._children(depth))
            node = Mapping(mark.line + 1, mark.column + 1, list(zip(children, children, strict=True)))
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _children(self, depth: int) -> list[Node]:
        nodes: list[Node] = []
        for event in self._events:
            kind = type(event)
            if kind in _ENDS:
                break
            nodes.append(self._scalar(event) if kind is ScalarEvent else self._node(event, depth + 1))
        return nodes

    def _scalar(self, event: Any) -> Scalar:
        mark, text = event.start_mark, event.value
        # Most begin like no number, date or boolean: they are strings however they are written.
        kind = _kind(event) if event.tag is not None or text[:1] in _IMPLICIT else _STRING
        node = Scalar(mark.line + 1, mark.column + 1, text, kind)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        # Aliases of collections multiply: nine levels of nine aliases are 400 million nodes ("billion laughs").
        if not isinstance(node, Scalar):
            raise _Refused("an alias may stand for a single value only", event.start_mark, "write it out")
        return node._replace(line=event.start_mark.line + 1, column=event.start_mark.column + 1)


def _composed(text: str) -> Node | None:
    """The one document of a text; the loader is asked itself, since `yaml.parse` asks it twice for each event."""
    loader = None
    try:
        loader = _LOADER(text)
        return _Composer(iter(loader.get_event, None)).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text) from None
    except (yaml.YAMLError, ValueError, OverflowError):
        # The pure loader hands impossible numbers, as in "\UFFFFFFFF" and %YAML, to Python as they are.
        raise _Refused("this is not YAML", None) from None
    finally:
        if loader:
            loader.dispose()


def _syntax(error: yaml.MarkedYAMLError, text: str) -> _Refused:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return _Refused(f"this is not YAML: {error.problem}", None)
    line = next(iter(text.splitlines()[mark.line : mark.line + 1]), "")
    if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column : mark.column + 1] == "\t":
        return _Refused("a tab where YAML wants spaces", mark, "indent with spaces")
    # A quote or bracket that is never closed is noticed at the end of the file only: say where it was opened.
    if mark.index >= len(text.rstrip()):
        mark = error.context_mark or mark
        return _Refused(f"this is not YAML: {error.problem}", mark, "close the quote, bracket or brace")
    return _Refused(f"this is not YAML: {error.problem}", mark, "quote values that contain `: ` or ` #`")


_LINE_BREAK: Final = re.compile("\r\n?|\n")


def _after(file: str, before: str) -> Place:
    """The place that follows this text."""
    lines = _LINE_BREAK.split(before)
    return Place(file, len(lines), len(lines[-1]) + 1)


_SECRET_KEY: Final = re.compile("secret|passw|token|credential|(api|private|access)[-_ ]?key", re.IGNORECASE)
_PRIVATE_KEY: Final = re.compile("-----BEGIN [A-Z ]*PRIVATE KEY")
_TOKEN: Final = re.compile("[A-Za-z0-9_-]{40,}")
_IN_TOKEN: Final = bytes.maketrans(_LETTERS := f"{ascii_letters}{digits}_-".encode(), b"x" * len(_LETTERS))
_LONG: Final = b"x" * 40  # what a token becomes by that, found in a tenth of the time
_URL_LIMIT: Final = 1000  # how far back a URL may have begun; a line can be as long as the file


def _secrets(text: str, public: Collection[str]) -> Iterator[tuple[Level, str, int, int]]:
    """What looks like a secret anywhere in a text, comments included: how bad, in words that do not show it, where."""
    if _LONG not in text.encode().translate(_IN_TOKEN) and "PRIVATE KEY" not in text:
        return
    for number, line in enumerate(_LINE_BREAK.split(text), 1):
        for match in _PRIVATE_KEY.finditer(line):
            yield Level.ERROR, "this looks like a private key", number, match.start() + 1
        for match in _TOKEN.finditer(line):
            before = line[max(0, match.start() - _URL_LIMIT) : match.start()]
            if not _random(match[0]) or any(re.search(rf"\b{key}['\"]?\s*:\s*['\"]?\Z", before) for key in public):
                continue
            if "://" in re.split(r"[\s\"']", before)[-1]:
                yield Level.WARNING, "this looks like a secret inside a URL", number, match.start() + 1
            else:
                yield Level.ERROR, "this looks like a secret", number, match.start() + 1


def _random(token: str) -> bool:
    """Whether a token has more bits a character than words do: random hexadecimal has near 4, base64 near 5."""
    counts = Counter(token).values()
    bits = -sum(count / len(token) * math.log2(count / len(token)) for count in counts)
    return bits > (3.2 if re.fullmatch("[0-9a-fA-F-]+", token) else 4.25)
