"""What the panes say: an application with its three sides, a step of a plan, and what became of one. Pure.

Owns their wording and styles. Must never let a control character of somebody's text through to a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from textual.content import Content

from registrar.history import Past, history
from registrar.history import State as PastState
from registrar.model import FIELDS, Target
from registrar.render import told, way_on
from registrar.report import Outcome, Status
from registrar.steps import Back, Blocked, Create, Expire, Keep, Recover, Retire, Rotate, Step, Update
from registrar.tui.rows import Line, age
from registrar.wording import visible
from registrar.world import World

STYLES: Final = {
    "in sync": "$text-success", "undeclared": "dim", "blocked": "$text-error bold", "interrupted": "$text-error bold",
}  # fmt: skip
_WIDTH: Final = 13


def state_style(state: str) -> str:
    """How a state is drawn, besides its word and its glyph."""
    return STYLES.get(state, "$text-warning")


def application(world: World, line: Line, command: str, *, width: int = 80, proof: str = "") -> Content:
    """One application: state, remedy, the three sides field by field, where its credential is, and its versions.

    `width` is that of the pane in cells: what does not fit beside its label goes below it.
    """
    return Content("\n").join(
        [*_headed(line, command), Content(""), *_sides(world, line, width), *_stored(world, line, width, proof)]
    )


def _headed(line: Line, command: str) -> Iterator[Content]:
    """What it is called, how it stands, and what to do about it."""
    row = line.row
    yield Content.assemble((visible(row.name), "bold"), "  ", (f"{line.glyph} {row.state}", state_style(row.state)))
    if row.reason and row.reason != row.state:
        yield _told(visible(row.reason))
    for step in line.steps:
        if isinstance(step, Keep) and step.note:
            yield _told(f"note: {visible(step.note)}")
    if remedy := line.remedy:
        yield Content.assemble(("→ ", "$text-accent"), (f" {remedy.key} ", "reverse"), f" {remedy.told}")
        if remedy.command:
            yield Content.assemble("  ", (command, "$text-accent"))
    if row.hint:
        yield Content.assemble("  ", (visible(row.hint), "dim"))


def _told(text: str) -> Content:
    return Content.styled(text, "italic")


def _labelled(label: str, text: str, width: int, style: str = "") -> Iterator[Content]:
    """A label with its text beside it, or below it where there is no room."""
    value = Content.styled(text, style)
    if _WIDTH + 2 + value.cell_length <= width:
        yield Content.assemble((label.ljust(_WIDTH + 2), "dim"), value)
        return
    yield Content.styled(label, "dim")
    yield Content.assemble("    ", value)


def _sides(world: World, line: Line, width: int) -> Iterator[Content]:
    """Each field once where the sides agree, and side by side where they do not."""
    row = line.row
    record, wanted = world.by_path.get(row.path), world.wanted.get(row.path)
    facts = record.facts if record else None
    registered = line.stranger or world.by_client.get(row.client_id)
    in_vault = {"name": facts.name, "redirect_uri": facts.redirect_uri, "base_url": facts.base_url} if facts else {}
    in_vault |= {"owner_email": facts.owner} if facts else {}
    there = {"manifest": wanted, "Nexus": registered, "Vault": facts}
    held = ", ".join(side for side, found in there.items() if found) or "nowhere any more"
    yield from _labelled("  known to", held, width)
    for name in FIELDS:
        found = {
            "manifest": getattr(wanted, name) if wanted else None,
            "Nexus": getattr(registered, name) if registered else None,
            "Vault": in_vault.get(name),
        }
        said = {side: value for side, value in found.items() if value is not None}
        if len(set(said.values())) < 2:
            text = visible(next(iter(said.values()))) or '""' if said else "-"
            yield from _labelled(f"  {name}", text, width)
        else:
            yield from _differing(name, said, width)


def _differing(name: str, said: Mapping[str, str], width: int) -> Iterator[Content]:
    """One line a side, the first one saying that they differ."""
    yield Content.assemble((f"≠ {name}", "$text-warning bold"))
    first = next(iter(said.values()))
    for side, value in said.items():
        style = "" if value == first else "$text-warning"
        yield from _labelled(f"    {side}", visible(value) or '""', width, style)


def _stored(world: World, line: Line, width: int, proof: str) -> Iterator[Content]:
    """Where the credential is, how old, whether it was proven, and the versions of its record."""
    record = world.by_path.get(line.row.path)
    if line.row.client_id:
        yield from _labelled("  client id", visible(line.row.client_id), width)
    if line.row.path:
        yield from _labelled("  Vault path", visible(world.target.location(line.row.path)), width)
    if record is None:
        return
    facts, now = record.base, record.seen_at
    times = (("registered", facts.registered_at), ("rotated", facts.rotated_at), ("proven", facts.proven_at))
    ages = [f"{word} {_ago(moment, now)}" for word, moment in times if moment]
    yield from _labelled("  credential", "; ".join([f"{line.row.vault} v{record.current}", *ages]), width)
    if proof:
        yield from _labelled("  proof", proof, width)
    if facts.protected:
        yield from _labelled("  protected", "neither retired nor rotated unless named", width)
    for past in history(record):
        yield from _labelled(f"  v{past.number}", version(past, now), width)


def version(past: Past, now: datetime) -> str:
    """One version of a record in a line."""
    until = f", until {past.until:%Y-%m-%d %H:%M} UTC" if past.until and past.state is not PastState.DELETED else ""
    note = f"  {past.note}" if past.note else ""
    return f"{past.state}{until}, {_ago(past.created_at, now)}{note}"


def _ago(moment: datetime, now: datetime) -> str:
    told = age(moment, now)
    return "just now" if told == "now" else f"{told} ago"


# ── plans and reports ─────────────────────────────────────────────────────────────────────────────────────────────────


def step(one: Step, *, width: int = 80) -> Content:
    """One step: why, which fields before and after, and what it means for clients in words."""
    return Content("\n").join(_step(one, width))


def _step(one: Step, width: int) -> Iterator[Content]:
    yield Content.assemble((visible(one.name), "bold"), f"  {visible(one.path)}  ", (one.operation, "dim"))
    yield _told(visible(one.reason))
    if breaks := broken(one):
        yield Content.styled(f"breaks clients: {breaks}", "$text-error")
    if isinstance(one, Create):
        for name, value in one.application.declared().items():
            yield from _labelled(f"  {name}", visible(value) or "(empty)", width)
    yield from (Content(f"  {text}") for text in _details(one))


def _details(one: Step) -> Iterable[str]:
    if isinstance(one, Update):
        return _changes(one)
    if isinstance(one, Recover):
        then = [f"then {one.then}"] if one.then else []
        return [*(f"half-made: id {half.id}, client id {visible(half.client_id)}" for half in one.marked), *then]
    if isinstance(one, Blocked):
        return [f"→ {visible(one.hint)}"]
    if isinstance(one, Keep):
        return [visible(one.note)] if one.note else []
    if isinstance(one, Expire):
        return [f"client id {visible(one.former.client_id)}, v{one.former.version}"]
    return [] if isinstance(one, Create) else [f"client id {visible(one.client_id)}"]


def _changes(one: Update) -> Iterator[str]:
    """Each field with what it is and what it becomes, of Nexus, or where that is right already of the facts."""
    for change in one.edits[0].changes if one.edits else one.facts:
        yield f"{change.field}{'' if one.edits else ' (fact in Vault)'}"
        yield f"  - {visible(change.before) or '(empty)'}"
        yield f"  + {visible(change.after) or '(empty)'}"
    for other in one.edits[1:]:
        yield f"also in the registration that is retiring: {visible(other.client_id)}"
    yield from (visible(note) for note in one.notes)


def broken(one: Step) -> str:
    """What a step does to clients that work now; empty where it does nothing to them."""
    if not one.breaks_clients:
        return ""
    if isinstance(one, Update):
        return "who still sends the old redirect URI is refused at sign-in"
    if isinstance(one, Rotate):
        return (
            f"each needs the new client id and secret{', at once' if not one.grace_s else ' before the grace is over'}"
        )
    if isinstance(one, Back):
        return "who has fetched the newer credential already needs the one before again"
    if isinstance(one, Retire):
        return "nobody signs in through it any more"
    return "each needs the new credential"


def outcome(one: Outcome, target: Target, *, width: int = 80) -> Content:
    """What became of a step, and what to type next."""
    lines = [Content.assemble((visible(one.step.name), "bold"), "  ", (str(one.status), _ending(one.status)))]
    lines.append(Content(told(one, target)))
    if hint := way_on(one):
        lines.append(Content.assemble(("→ ", "$text-accent"), visible(hint)))
    return Content("\n").join([*lines, Content(""), *_step(one.step, width)])


def _ending(status: Status) -> str:
    return {Status.DONE: "$text-success", Status.SKIPPED: "$text-warning"}.get(status, "$text-error")
