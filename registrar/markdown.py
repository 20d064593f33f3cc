"""What a run did as Markdown, for a ticket or a merge request: a heading, a table, and the ways on below it.

Owns that wording and its escapes. Must never let a cell end its table, or a name become a link or a tag.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from registrar.model import Target
from registrar.plan import Plan
from registrar.render import summary, told, visible, way_on
from registrar.report import Report, Status
from registrar.steps import Blocked, Create, Keep, Step, Update


def plan_markdown(plan: Plan) -> str:
    """Every field that a plan changes, before and after; the digest at the end."""
    rows = [row for step in plan.steps if not isinstance(step, Keep) for row in _rows(step)]
    lines = [f"### {escaped(_heading(plan.target))}", ""]
    lines += [*table(("Operation", "Application", "Field", "Before", "After"), rows), ""] if rows else []
    lines.append(escaped(summary(plan)))
    if plan.pending and plan.with_nexus:
        lines.append(f"Digest: `{plan.digest}`")
    return "\n".join(lines) + "\n"


def report_markdown(report: Report, target: Target) -> str:
    """Every step that was to change something, what became of it, and the way on where that is not the end."""
    outcomes = [outcome for outcome in report.outcomes if outcome.status is not Status.KEPT]
    rows = [(str(one.status), one.step.operation, one.step.name, one.step.path, told(one, target)) for one in outcomes]
    lines = [f"### {escaped(_heading(target))}", ""]
    lines += [*table(("Result", "Operation", "Application", "Path", "What"), rows), ""] if rows else []
    hints = [f"- {escaped(one.step.name)}: {escaped(hint)}" for one in outcomes if (hint := way_on(one))]
    lines += [*hints, ""] if hints else []
    if report.cause:
        lines += [escaped(f"Stopped: {report.cause.message}"), ""]
    counts = [f"{len(report.of(status))} {status}" for status in Status if status is not Status.KEPT]
    ended = ", ".join(count for count in counts if not count.startswith("0 ")) or "nothing was to be done"
    return "\n".join([*lines, escaped(ended + ("; interrupted" if report.interrupted else "") + ".")]) + "\n"


def _heading(target: Target) -> str:
    return f"{target.name}{' (production)' if target.production else ''}: {target.nexus_url}"


def _rows(step: Step) -> list[tuple[str, ...]]:
    head = (step.operation + (" (breaks clients)" if step.breaks_clients else ""), step.name)
    if isinstance(step, Create):
        return [(*head, name, "", value) for name, value in step.application.declared().items()]
    if isinstance(step, Update) and step.edits:
        return [(*head, change.field, change.before, change.after) for change in step.edits[0].changes]
    return [(*head, "", "", step.reason + (f" → {step.hint}" if isinstance(step, Blocked) else ""))]


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, each cell of a row escaped."""
    lines = [titles, ["---"] * len(titles), *([escaped(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def escaped(text: str) -> str:
    """Text that means itself: what Markdown or HTML would take for its own is escaped."""
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#~@!])", r"\\\1", plain)
