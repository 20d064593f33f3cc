"""Words for people and documents for machines: plans, events, reports and status, each as one str.

Owns wording, layout and colour. Must never print, decide, or let a control character of somebody's text through to a
terminal.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain, groupby, repeat
from typing import Any, Final

from registrar.doctor import Check, State, counted
from registrar.errors import RegistrarError
from registrar.model import FIELDS, Record, Registered, Target
from registrar.plan import Plan
from registrar.report import Event, Outcome, Report
from registrar.report import Status as Ended
from registrar.status import Row, Status
from registrar.steps import Blocked, Create, Keep, Recover, Step, Update, document
from registrar.verify import Row as ProvenRow
from registrar.verify import State as Proven
from registrar.verify import Verification
from registrar.wording import machine, number, painted, table, visible
from registrar.world import World, formers

GLYPHS: Final = {
    "keep": ("=", ""), "create": ("+", "32"), "update": ("~", "33"), "rotate": ("%", "33"), "back": ("<", "33"),
    "adopt": ("+", "32"), "retire": ("-", "31"), "restore": ("^", "32"), "expire": ("x", "31"), "recover": ("&", "33"),
    "blocked": ("!", "31"),
}  # fmt: skip
_DOING: Final = {"back": "go back"}
_STATE_COLOURS: Final = {"in sync": "32", "blocked": "31", "undeclared": "2", "interrupted": "31"}
_STATUS_COLOURS: Final = {Ended.DONE: "32", Ended.FAILED: "31", Ended.BLOCKED: "31", Ended.SKIPPED: "33"}


# ── plan ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def plan_text(plan: Plan, *, colour: bool = False) -> str:
    """Every step that is not Keep, field changes before and after, the way out of what is blocked, and the digest."""
    lines = [_heading(plan.target, plan.with_nexus), ""]
    shown = [step for step in plan.steps if not isinstance(step, Keep) or step.note]
    width = max((len(visible(step.name)) for step in shown), default=0)
    for step in shown:
        lines += _step_lines(step, width, colour)
    if shown:
        lines.append("")
    lines.append(summary(plan))
    if plan.pending and plan.with_nexus:
        lines.append(f"Digest: {plan.digest}")
    return "\n".join(lines)


def _heading(target: Target, with_nexus: bool) -> str:
    nexus = target.nexus_url if with_nexus else "not asked: manifests are compared with the facts in Vault alone"
    where = f"{target.vault_addr} {target.location('')}"
    return f"Target {target.name}{' (production)' if target.production else ''}\n  Nexus {nexus}\n  Vault {where}"


def _step_lines(step: Step, width: int, colour: bool) -> list[str]:
    glyph, code = GLYPHS[step.operation]
    operation = painted(f"{glyph} {step.operation:8}", code, colour)
    breaks = painted("  breaks clients", "31", colour) if step.breaks_clients else ""
    lines = [f"{operation} {visible(step.name).ljust(width)}  {visible(step.path)}{breaks}".rstrip()]
    details: list[str] = [] if step.reason == "new" else [visible(step.reason)]
    if isinstance(step, Keep):
        details.append(visible(step.note))
    elif isinstance(step, Create):
        details += table(
            [(name, visible(value)) for name, value in step.application.declared().items() if name != "name"]
        )
    elif isinstance(step, Update):
        details += _change_lines(step)
    elif isinstance(step, Recover):
        details += [f"half-made: id {m.id}, client id {visible(m.client_id)}" for m in step.marked]
        details += [f"then {step.then}"] if step.then else []
    elif isinstance(step, Blocked):
        details.append(f"→ {visible(step.hint)}")
    return lines + ["           " + detail for detail in details if detail]


def _change_lines(step: Update) -> list[str]:
    rows = [
        (change.field, f"{_quoted(change.before)} → {_quoted(change.after)}")
        for edit in step.edits[:1]
        for change in edit.changes
    ]
    lines = table(rows)
    if len(step.edits) > 1:
        lines.append(f"also in the registration that is retiring: {step.edits[1].client_id}")
    if not step.edits:
        lines += table(
            [(f"{change.field} (fact)", f"{_quoted(change.before)} → {_quoted(change.after)}") for change in step.facts]
        )
    return lines + [visible(note) for note in step.notes]


def _quoted(value: str) -> str:
    return f'"{visible(value)}"'


def summary(*plans: Plan) -> str:
    """The line that counts, over all of these plans."""
    counts: dict[str, int] = Counter(step.operation for plan in plans for step in plan.steps)
    left_alone = sum(plan.left_alone for plan in plans)
    kept = counts.pop("keep", 0)
    if not counts:
        nothing = f"Nothing to do: {number(kept, 'application')} in sync"
        return nothing + (f", {left_alone} undeclared left alone." if left_alone else ".")
    parts = [
        f"{count} blocked" if name == "blocked" else f"{count} to {_DOING.get(name, name)}"
        for name, count in counts.items()
    ]
    parts += [f"{kept} in sync"] if kept else []
    parts += [f"{left_alone} undeclared left alone"] if left_alone else []
    return "Plan: " + ", ".join(parts) + "."


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON has it; a plan without Nexus has no digest, since nobody could apply it."""
    return {
        "target": asdict(plan.target),
        "with_nexus": plan.with_nexus,
        "digest": plan.digest if plan.with_nexus else None,
        "counts": plan.counts,
        "managed": plan.managed,
        "left_alone": plan.left_alone,
        "steps": [document(step) for step in plan.steps],
    }


def plan_json(plan: Plan) -> str:
    return machine("plan", plan_document(plan))


# ── apply ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_ENDS: Final = frozenset({"done", "failed", "blocked"})
_LOUD: Final = _ENDS | {"in doubt", "removed", "fenced"}


def ended(event: Event) -> bool:
    """Whether with this event a step is over."""
    return event.stage in _ENDS


def loud(event: Event) -> bool:
    """Whether an event is worth a line of its own; the others are the ordinary course of a step."""
    return event.stage in _LOUD


def event_text(event: Event, *, brief: bool = False) -> str:
    """One line; brief without the detail that the report repeats."""
    detail = f": {_of(event.name, event.detail)}" if event.detail and not brief else ""
    return f"{visible(event.name)}: {event.stage}{detail}"


def report_text(report: Report, target: Target, *, colour: bool = False) -> str:
    """What was done, where each credential is, and everything that was not done with the command that goes on."""
    outcomes = [_without(report.cause, outcome) for outcome in report.outcomes if outcome.status is not Ended.KEPT]
    cells = [
        (str(outcome.status), _operation(outcome.step), visible(outcome.step.name), told(outcome, target))
        for outcome in outcomes
    ]
    lines: list[str] = []
    for outcome, line in zip(outcomes, table(cells), strict=True):
        status = str(outcome.status)
        lines.append(painted(status, _STATUS_COLOURS.get(outcome.status, ""), colour) + line.removeprefix(status))
        if hint := way_on(outcome):
            lines.append(f"  → {visible(hint)}")
    if report.cause:
        lines += ["", f"stopped: {visible(report.cause.message)}"]
        lines += [f"  → {visible(report.cause.hint)}"] if report.cause.hint else []
    ending = ended_how(report) + ("; interrupted" if report.interrupted else "")
    return "\n".join([*lines, "", ending])


def ended_how(*reports: Report) -> str:
    """How many steps ended how, over all of these reports."""
    counts = [(status, sum(len(report.of(status)) for report in reports)) for status in Ended]
    total = ", ".join(f"{count} {status}" for status, count in counts if count and status is not Ended.KEPT)
    return total or "nothing was to be done"


def _without(cause: RegistrarError | None, outcome: Outcome) -> Outcome:
    """A step that was not begun, without the reason that the end of the report gives for all of them."""
    told_below = outcome.status is Ended.SKIPPED and outcome.error is cause
    return replace(outcome, error=None) if told_below else outcome


def _operation(step: Step) -> str:
    return "" if isinstance(step, Blocked) else step.operation


def told(outcome: Outcome, target: Target) -> str:
    """What became of a step, in words."""
    if outcome.status is Ended.DONE and isinstance(outcome.step, Create):
        return target.location(outcome.step.path)
    if outcome.status is Ended.DONE and isinstance(outcome.step, Update):
        names = dict.fromkeys(change.field for edit in outcome.step.edits for change in edit.changes)
        changed = f"{', '.join(names)} changed" if names else "the facts in Vault are right again"
        return "; ".join([changed, visible(outcome.detail)] if outcome.detail else [changed])
    if outcome.error and outcome.status is Ended.SKIPPED:
        return f"{outcome.detail} ({visible(outcome.error.message)})"
    return _of(outcome.step.name, outcome.detail) or str(outcome.status)


def _of(name: str, text: str) -> str:
    """What is said of an application, after its name: an error begins with it, as it may stand alone."""
    return visible(text.removeprefix(f"{name}: "))


def way_on(outcome: Outcome) -> str:
    """What to type next; empty where all is well."""
    if outcome.error:
        return outcome.error.hint
    return outcome.step.hint if isinstance(outcome.step, Blocked) else ""


def report_document(report: Report, plan: Plan) -> dict[str, Any]:
    """The report as JSON has it, with the plan that was carried out."""
    outcomes = [
        {
            "path": outcome.step.path,
            "name": outcome.step.name,
            "operation": outcome.step.operation,
            "status": str(outcome.status),
            "detail": outcome.detail,
            "location": plan.target.location(outcome.step.path),
            "hint": way_on(outcome),
            "custody": outcome.custody,
        }
        for outcome in report.outcomes
    ]
    counts = {str(status): len(report.of(status)) for status in Ended}
    return {
        "plan": plan_document(plan),
        "outcomes": outcomes,
        "counts": counts,
        "interrupted": report.interrupted,
        "exit_code": report.exit_code,
    }


def report_json(report: Report, plan: Plan) -> str:
    return machine("report", report_document(report, plan))


# ── status and show ───────────────────────────────────────────────────────────────────────────────────────────────────


def status_text(status: Status, target: Target, *, colour: bool = False) -> str:
    """The three-way table, what needs attention first."""
    rows = status.urgent
    cells = [("STATE", "NAME", "PATH", "MANIFEST", "NEXUS", "VAULT")] + [_row_cells(row) for row in rows]
    lines = table(cells)
    if colour:
        lines[1:] = [
            painted(line, _STATE_COLOURS.get(row.state, "33"), colour)
            for line, row in zip(lines[1:], rows, strict=True)
        ]
    ways_out = [f"{visible(row.path)}: {visible(row.reason)}\n  → {visible(row.hint)}" for row in rows if row.hint]
    ways_out += [f"{visible(row.path)}: its credential is {row.age}\n  → {row.rotation}" for row in status.old]
    lines += ["", *ways_out] if ways_out else []
    if status.older_than_s is not None:
        lines += ["", f"Credentials older than {status.older_than}: {len(status.old) or 'none'}."]
    also = [
        (status.other_records, "records of other sets or hands"),
        (status.unexplained, "living applications in Nexus that no record explains"),
        (status.unexplained_archived, "archived ones"),
    ]
    if told := ", ".join(f"{count} {what}" for count, what in also if count):
        lines += ["", f"Also there: {told}."]
    return "\n".join([_heading(target, True), "", *(lines if status.rows else ["No applications yet.", *lines[1:]])])


def _row_cells(row: Row) -> tuple[str, ...]:
    vault = f"{row.vault} v{row.version}" if row.version else row.vault
    return (row.state, visible(row.name), visible(row.path), row.manifest, row.nexus, vault)


def status_document(status: Status, target: Target) -> dict[str, Any]:
    """The table as JSON has it."""
    return {"target": asdict(target), **asdict(status)}


def status_json(status: Status, target: Target) -> str:
    return machine("status", status_document(status, target))


def show_text(world: World, row: Row, steps: Iterable[Step]) -> str:
    """One application, all three sides field by field, a difference marked, its history, and what would be done."""
    record, application = world.by_path.get(row.path), world.wanted.get(row.path)
    facts = record.facts if record else None
    registered = world.by_client.get(facts.client_id) if facts else None
    in_vault = (
        dict(zip(FIELDS, (facts.name, facts.redirect_uri, facts.base_url, facts.owner, "-"), strict=True))
        if facts
        else {}
    )
    lines = [f"{visible(row.name)}  ({row.state})", f"  {world.target.location(row.path)}", ""]
    sides: list[tuple[str, ...]] = [("", "MANIFEST", "NEXUS", "VAULT")]
    for name in FIELDS:
        wanted = getattr(application, name) if application else None
        there = getattr(registered, name) if registered else None
        differs = wanted is not None and there is not None and wanted != there
        texts = ("-" if value is None else visible(value) or '""' for value in (wanted, there, in_vault.get(name)))
        sides.append((f"{'≠' if differs else ' '} {name}", *texts))
    lines += table(sides, "  ")
    lines += ["", *_history(record, registered)]
    for step in steps:
        if not isinstance(step, Keep) or step.note:
            lines += ["", *_step_lines(step, len(step.name), colour=False)]
    archived = sum(
        1
        for r in world.registered or ()
        if r.archived and r.client_id not in {x.facts.client_id for x in world.records if x.facts}
    )
    lines += ["", f"{archived} archived applications in Nexus are explained by no record."] if archived else []
    return "\n".join(lines)


def _history(record: Record | None, registered: Registered | None) -> list[str]:
    if record is None:
        return ["  Nothing in Vault."]
    facts = record.facts
    rows = [("  kind", str(record.kind)), ("  version", str(record.current))]
    if facts:
        times = (("registered", facts.registered_at), ("rotated", facts.rotated_at), ("proven", facts.proven_at))
        rows += [("  client id", facts.client_id or "-"), ("  set", facts.set or "-"), ("  server", facts.nexus or "-")]
        rows += [(f"  {word}", f"{moment:%Y-%m-%d %H:%M:%S} UTC") for word, moment in times if moment]
        rows += [
            ("  retiring", f"{former.client_id} until {former.until:%Y-%m-%d %H:%M} UTC") for former in formers(facts)
        ]
        rows += [("  protected", "yes")] if facts.protected else []
    rows += [("  id in Nexus", str(registered.id))] if registered else []
    for version in reversed(record.versions):
        gone = "destroyed" if version.destroyed else "deleted" if record.deleted(version.number) else "readable"
        rows.append((f"  v{version.number}", f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC  {gone}"))
    return table(rows)


def show_json(world: World, row: Row, steps: Iterable[Step]) -> str:
    record, application = world.by_path.get(row.path), world.wanted.get(row.path)
    registered = world.by_client.get(row.client_id)
    return machine(
        "application",
        {
            "status": asdict(row),
            "manifest": asdict(application) if application else None,
            "nexus": asdict(registered) if registered else None,
            "vault": asdict(record) | {"kind": str(record.kind)} if record else None,
            "steps": [document(step) for step in steps],
        },
    )


# ── the doctor ────────────────────────────────────────────────────────────────────────────────────────────────────────

_CHECKED: Final = {State.OK: ("✓", "32"), State.WARNING: ("!", "33"), State.FAILED: ("✗", "31")}
_COLUMNS: Final = 80


def doctor_text(checks: Sequence[Check], *, colour: bool = False) -> str:
    """One line a check below its subject, which ends in how it stands, and below it what mends it."""
    label = max(len(check.id) for check in checks)
    width = min(max(len(visible(check.text)) for check in checks), _COLUMNS - label - len("      ✓"))
    lines: list[str] = []
    for subject, group in groupby(checks, key=lambda check: check.subject):
        lines += ["", subject] if lines else [subject]
        lines += [line for check in group for line in _check_lines(check, label, width, colour=colour)]
    return "\n".join([*lines, "", _well(checks)])


def _check_lines(check: Check, label: int, width: int, *, colour: bool) -> Iterator[str]:
    names = chain([check.id], repeat(""))
    *first, last = textwrap.wrap(visible(check.text), width, break_on_hyphens=False) or [""]
    yield from (f"  {next(names):{label}}  {line}" for line in first)
    glyph, code = _CHECKED[check.state]
    yield f"  {next(names):{label}}  {last:{width}}  {painted(glyph, code, colour)}"
    arrows = chain(["    → "], repeat("      "))
    yield from (f"{next(arrows)}{line}" for line in _hint_lines(visible(check.hint), _COLUMNS - 6))


def _hint_lines(hint: str, width: int) -> list[str]:
    """A hint in lines; commands are broken after a | or an &&, where a shell reads on, so that they can be pasted."""
    if len(hint) > width and len(commands := re.split("(?<=[|&]) ", hint)) > 1:
        return commands
    return textwrap.wrap(hint, width, break_long_words=False, break_on_hyphens=False)


def _well(checks: Sequence[Check]) -> str:
    failed, warned = (sum(check.state is state for check in checks) for state in (State.FAILED, State.WARNING))
    if failed:
        return f"{counted(failed, 'failure')}, {counted(warned, 'warning')}" if warned else counted(failed, "failure")
    return f"It works, with {counted(warned, 'warning')}." if warned else "All is well."


def doctor_json(checks: Sequence[Check], target: Target) -> str:
    well = all(check.state is not State.FAILED for check in checks)
    return machine("doctor", {"target": asdict(target), "well": well, "checks": [asdict(check) for check in checks]})


# ── verify ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_PROVEN_COLOURS: Final = {Proven.RIGHT: "32", Proven.WRONG: "31", Proven.MISSING: "31"}


def verification_text(found: Verification, target: Target, *, colour: bool = False) -> str:
    """One line a credential, what it comes to first, with its version and, of an old one, the end of its grace."""
    cells = [
        (
            str(row.state),
            visible(row.name),
            visible(row.path),
            _which(row),
            "" if row.state is Proven.RIGHT else visible(row.reason),
        )
        for row in found.rows
    ]
    lines: list[str] = []
    for row, line in zip(found.rows, table(cells), strict=True):
        state = str(row.state)
        lines.append(painted(state, _PROVEN_COLOURS.get(row.state, "33"), colour) + line.removeprefix(state))
        lines += [f"  → {visible(row.hint)}"] if row.hint else []
    return "\n".join([*lines, *([""] if lines else []), f"Nexus {target.nexus_url}: {proofs(found)}"])


def proofs(*found: Verification) -> str:
    """How many credentials came to what, over all of these."""
    counts = Counter(row.state for one in found for row in one.rows)
    left_out = sum(one.left_out for one in found)
    parts = [f"{counts[state]} {state}" for state in Proven if counts[state]] or ["no credential to prove"]
    parts += [f"{left_out} retired or not ours left out"] if left_out else []
    return ", ".join(parts)


def _which(row: ProvenRow) -> str:
    version = f"v{row.version}" if row.version else "-"
    return f"{version} retiring, until {row.until:%Y-%m-%d %H:%M} UTC" if row.until else version


def verification_document(found: Verification, target: Target) -> dict[str, Any]:
    """The proofs as JSON has them."""
    rows = [
        {**asdict(row), "which": "retiring" if row.until else "current", "location": target.location(row.path)}
        for row in found.rows
    ]
    counts = {str(state): sum(row.state is state for row in found.rows) for state in Proven}
    content = {"target": asdict(target), "credentials": rows, "counts": counts, "left_out": found.left_out}
    return {**content, "exit_code": found.exit_code}


def verification_json(found: Verification, target: Target) -> str:
    return machine("verification", verification_document(found, target))
