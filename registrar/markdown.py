"""A plan and what a run did as Markdown, for a merge request or a ticket: a heading, tables, and the ways on.

Owns that wording, its length and its escapes. What a manifest says was written by whoever opened the merge request, and
a bot posts it: must never let a text end its cell, nor become a link, a tag, a picture or the mention of a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from registrar.model import Target
from registrar.plan import Plan
from registrar.render import summary, told, way_on
from registrar.report import Report, Status
from registrar.steps import Create, Keep, Recover, Step, Update
from registrar.wording import visible

LIMIT: Final = 65_000
"""The most characters of a comment; GitHub takes 65,536."""

_LONG: Final = 25  # rows that a reader scrolls past
_NAMED: Final = 10  # applications that a sentence names
_CELL: Final = 600  # characters of somebody's text in one place; a redirect URI has at most 512

Row = tuple[str, ...]
_PLAN: Final = ("Operation", "Application", "Field", "Before", "After")
_REPORT: Final = ("Result", "Operation", "Application", "Path", "What")


def plan_markdown(plan: Plan, *, remarks: Sequence[str] = (), limit: int = LIMIT) -> str:
    """What breaks clients in words, what is blocked with its way out, every field that is changed, the digest.

    `remarks` come first; what does not fit into `limit` characters is counted.
    """
    steps = sorted(plan.pending, key=lambda step: not step.breaks_clients)  # what comes last is cut first
    nexus = "" if plan.with_nexus else "Nexus was not asked: manifests are compared with the facts in Vault alone."
    head = [heading(plan.target), *(f"> ⚠️ {prose(remark)}" for remark in remarks), nexus, _breaking(plan)]
    foot = [prose(summary(plan))]
    foot += [f"Digest: `{plan.digest}`"] if plan.pending and plan.with_nexus else []
    blocked = [_item(step.name, step.path, step.reason, step.hint) for step in plan.blocked]
    noted = [_item(step.name, step.path, note) for step in plan.steps for note in _notes(step)]
    rows = [line(row) for step in steps for row in _rows(step)]
    parts = [_Part("Blocked, until a person decides:", blocked), _Part("", rows, _PLAN), _Part("Notes:", noted)]
    return _composed(head, parts, foot, limit, "registrar plan")


def report_markdown(report: Report, target: Target, *, limit: int = LIMIT) -> str:
    """Every step that was to change something, what became of it, and the way on where that is not the end."""
    outcomes = [outcome for outcome in report.outcomes if outcome.status is not Status.KEPT]
    outcomes.sort(key=lambda outcome: outcome.status is Status.DONE)
    rows = [
        line((str(one.status), one.step.operation, name(one.step.name), name(one.step.path), prose(told(one, target))))
        for one in outcomes
    ]
    hints = [_item(one.step.name, one.step.path, "", hint) for one in outcomes if (hint := way_on(one))]
    counts = [f"{len(report.of(status))} {status}" for status in Status if status is not Status.KEPT]
    ended = ", ".join(count for count in counts if not count.startswith("0 ")) or "nothing was to be done"
    foot = [prose(f"Stopped: {report.cause.message}")] if report.cause else []
    foot += [ended + ("; interrupted" if report.interrupted else "") + "."]
    parts = [_Part("How to go on:", hints), _Part("", rows, _REPORT)]
    return _composed([heading(target)], parts, foot, limit, "registrar status")


# ── the parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def heading(target: Target) -> str:
    return f"### {name(target.name)}{' (production)' if target.production else ''}: {code(target.nexus_url)}"


def _breaking(plan: Plan) -> str:
    """The sentence on whose users may no longer sign in."""
    breaking = [step for step in plan.pending if step.breaks_clients]
    if not breaking:
        return ""
    named = [f"{name(step.name)} ({_why(step)})" for step in breaking[:_NAMED]]
    named += [f"{len(breaking) - _NAMED:,} more"] if len(breaking) > _NAMED else []
    what = f"{len(breaking):,} {'application' if len(breaking) == 1 else 'applications'}"
    return f"**This breaks clients of {what}**, until each is set up anew: {', '.join(named)}."


def _why(step: Step) -> str:
    if isinstance(step, Update):
        return "its redirect URI changes"
    return "it gets a new client id and secret" if isinstance(step, Create) else f"to {step.operation}"


def _rows(step: Step) -> list[Row]:
    head = (step.operation + (" (breaks clients)" if step.breaks_clients else ""), name(step.name))
    if isinstance(step, Create):
        return [(*head, code(field), "", code(value)) for field, value in step.application.declared().items()]
    if isinstance(step, Update):
        changes = [(change, "") for edit in step.edits[:1] for change in edit.changes]
        changes += [(change, f" of {edit.client_id}") for edit in step.edits[1:] for change in edit.changes]
        changes = changes or [(change, " (fact)") for change in step.facts]
        return [(*head, code(one.field) + prose(which), code(one.before), code(one.after)) for one, which in changes]
    if isinstance(step, Recover):
        return [(*head, "", "", prose(step.reason + (f"; then {step.then}" if step.then else "")))]
    return [(*head, "", "", prose(step.reason))]


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], cell: Callable[[str], str] | None = None) -> list[str]:
    """The lines of a table, each cell of a row escaped, or as `cell` has it: `prose` where it may quote somebody."""
    shown = cell or escaped
    lines = [titles, ["---"] * len(titles), *([shown(text) for text in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _notes(step: Step) -> tuple[str, ...]:
    if isinstance(step, Keep):
        return (step.note,) if step.note else ()
    return step.notes if isinstance(step, Update) else ()


def _item(who: str, path: str, reason: str, hint: str = "") -> str:
    told = f" {prose(reason)}" if reason else ""
    return f"- {name(who)} ({name(path)}):{told}" + (f" → {code(hint)}" if hint else "")


def line(row: Iterable[str]) -> str:
    return f"| {' | '.join(row)} |"


# ── the length ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Part:
    """A table, or a list below its title, of which as many lines are taken as there is room for."""

    def __init__(self, title: str, lines: Sequence[str], columns: Sequence[str] = ()) -> None:
        self._lines, self._taken = lines, len(lines)
        self._before = [title, ""] if title else []
        self._before += [line(columns), line(["---"] * len(columns))] if columns else []

    @property
    def size(self) -> int:
        """How many characters all of it takes."""
        return sum(len(line) + 1 for line in self._folded(self._lines)) if self._lines else 0

    def fit(self, room: int) -> int:
        """Take the first lines that fit into this many characters; how many those take."""
        used = self.size - sum(len(line) + 1 for line in self._lines)
        for number, line in enumerate(self._lines):
            if used + len(line) + 1 > room:
                self._taken = number
                return used if number else 0
            used += len(line) + 1
        self._taken = len(self._lines)
        return used

    @property
    def missing(self) -> int:
        return len(self._lines) - self._taken

    def shown(self) -> list[str]:
        return self._folded(self._lines[: self._taken]) if self._taken else []

    def _folded(self, lines: Sequence[str]) -> list[str]:
        """What is long is folded, so that the next target's is in sight."""
        inside = [*self._before, *lines, ""]
        if len(self._lines) <= _LONG:
            return inside
        return ["<details>", f"<summary>{len(self._lines):,} rows</summary>", "", *inside, "</details>", ""]


def _composed(head: Sequence[str], parts: Sequence[_Part], foot: Sequence[str], limit: int, command: str) -> str:
    """All of it, or as much as fits: what comes first stays, and what is missing is counted."""
    first, last = ([line for text in texts if text for line in (text, "")] for texts in (head, foot))
    room = limit - len("\n".join([*first, *last])) - _CUT_ROOM
    for number, part in enumerate(parts, 1):
        later = sum(one.size for one in parts[number:])
        room -= part.fit(max(room - later, room * 2 // 3))  # some of what comes later has a place in any case
    missing = sum(part.missing for part in parts)
    cut = [f"**{missing:,} rows do not fit in here.** `{command}` shows them all.", ""] if missing else []
    shown = [line for part in parts for line in part.shown()]
    return "\n".join([*first, *shown, *cut, *last]).rstrip("\n") + "\n"


_CUT_ROOM: Final = 100  # for the sentence on what is missing


def fitting(lines: Sequence[str], room: int) -> int:
    """How many of these lines fit into so many characters, each with its line break."""
    for number, text in enumerate(lines):
        room -= len(text) + 1
        if room < 0:
            return number
    return len(lines)


# ── the escapes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def escaped(text: str) -> str:
    """Text that means itself: what Markdown or HTML would take for its own is escaped."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#~@!])", r"\\\1", plain)


_CALLS: Final = re.compile(r"[@#$%&~!\\`|<>\[\]^]|://|www\.|GH-|:[\w+-]+:|\b[0-9a-f]{7,40}\b", re.IGNORECASE)
"""What a forge takes for a person, an issue, a commit or a link wherever it stands, escaped or not, but in code."""


def name(text: str) -> str:
    """Somebody's name as words where they are only words, and else as code."""
    return code(text) if _CALLS.search(text) or not re.match(r"[^\W\d_]", text) else escaped(_clipped(text))


def prose(text: str) -> str:
    """A sentence of ours that may quote somebody."""
    return code(text) if _CALLS.search(text) else escaped(_clipped(text))


def code(text: str) -> str:
    """A value as it is, in which nothing means anything else; empty for an empty one."""
    shown = _clipped(text)
    if not shown:
        return ""
    if not re.search(r"[`|\\]|^\s|\s$", shown):
        return f"`{shown}`"
    # in a table's code, implementations differ in what a backslash before | or ` says; a number is the same to all
    return f"<code>{re.sub(r'[^A-Za-z0-9 ,=?-]|^ | $', lambda found: f'&#{ord(found[0])};', shown)}</code>"


def _clipped(text: str) -> str:
    whole = visible(text)
    return whole if len(whole) <= _CELL else f"{whole[:_CELL]}… and {len(whole) - _CELL:,} characters more"
