"""A plan and its apply: every step before, while and after it is carried out; what was approved, and nothing else.

The plan that is shown is what is approved, by its digest. Cancel starts no new step and lets what has begun end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import ProgressBar, Static

from registrar.errors import NotSignedIn, RegistrarError
from registrar.markdown import plan_markdown, report_markdown
from registrar.plan import Plan
from registrar.render import ended, loud, summary, way_on
from registrar.report import Event, Outcome, Report, Status, Stop
from registrar.steps import Blocked, Keep, Step
from registrar.tui import words
from registrar.tui.app import CHANGE
from registrar.tui.intents import Intent
from registrar.tui.screens.dialogs import Confirm
from registrar.tui.screens.page import READ_ONLY, Page, Pane, told_error
from registrar.tui.session import Ask
from registrar.tui.table import Column, Table
from registrar.wording import visible

_OPERATIONS: Final = (
    "blocked", "recover", "retire", "expire", "rotate", "back", "update", "restore", "adopt", "create", "keep",
)  # fmt: skip
"""Steps of a kind are together, what a person should look at first."""

_ENDS: Final = {Status.DONE: "good", Status.FAILED: "bad", Status.BLOCKED: "bad", Status.SKIPPED: "attention"}


@dataclass
class Progress:
    """One step of the plan, the stage it has reached, and its end."""

    step: Step
    stage: str = ""
    outcome: Outcome | None = None

    @property
    def said(self) -> str:
        return str(self.outcome.status) if self.outcome else self.stage


class PlanPage(Page):
    """What would be done, doing it, and what was done."""

    ACTS = frozenset({"apply"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "apply", "Apply", tooltip="Carry out this plan, after a question"),
        Binding("r", "refresh", "Plan anew"),
        Binding("y", "copy", "Copy as Markdown"),
        Binding("escape", "leave", "Back", show=True),
    ]

    def __init__(self, intent: Intent) -> None:
        super().__init__()
        self.intent = intent
        self.plan: Plan | None = None
        self.report: Report | None = None
        self._steps: list[Progress] = []
        self._by_path: dict[str, list[Progress]] = {}
        self._ended = 0
        self._stop: Stop | None = None
        self._busy = ""
        self._said = ""

    def subject(self) -> str:
        return visible(self.intent.title)

    def content(self) -> ComposeResult:
        yield Static(id="summary")
        with Container(id="body"):
            yield Table(
                (
                    Column("STEP", lambda one: _glyph(one.step), 10, style=lambda one: _step_style(one.step)),
                    Column("NAME", lambda one: visible(one.step.name), weight=3),
                    Column("PATH", lambda one: visible(one.step.path), weight=2, rank=1),
                    Column("CLIENTS", lambda one: "break" if one.step.breaks_clients else "", 7, style=lambda _: "bad"),
                    Column("STATE", lambda one: one.said, 10, style=_said_style),
                ),
                id="steps",
            )
            yield Pane(id="detail")
        yield ProgressBar(id="progress", show_eta=False)

    def on_mount(self) -> None:
        self.query_one("#progress").display = False
        self.query_one(Table).focus()
        self.action_refresh()

    # ── the plan ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def action_refresh(self) -> None:
        """Look anew and plan; not while a change is under way."""
        if self._busy:
            return
        self.report = None
        session, decide = self.app.session, self.intent.decide
        self._begin("Looking at Nexus and Vault, and planning…")
        self.app.ask(lambda: decide(session.observe()), self._planned, self._failed, group="plan")

    def _begin(self, told: str) -> None:
        self._busy = told
        self._tell()

    def _planned(self, plan: Plan) -> None:
        self._busy, self.plan, self._said = "", plan, ""
        steps = [step for step in plan.steps if not isinstance(step, Keep) or step.note]
        steps.sort(key=lambda step: (_OPERATIONS.index(step.operation), not step.breaks_clients, step.path))
        self._list([Progress(step) for step in steps])
        self._tell()

    def _list(self, steps: list[Progress]) -> None:
        self._steps = steps
        self._by_path = {}
        for one in steps:
            self._by_path.setdefault(one.step.path, []).append(one)
        table = self.query_one(Table)
        table.empty = "  Nothing to do."
        table.show(steps)
        if not steps:
            self.query_one("#detail", Pane).say("")

    def _failed(self, error: RegistrarError) -> None:
        self._over()
        self._tell()
        self.query_one("#detail", Pane).say(told_error(error, "r plans anew"))
        if isinstance(error, NotSignedIn):
            self.app.sign_in(error)

    def _tell(self) -> None:
        """The line above the steps, and the command that does the same."""
        command = self.intent.command(self.app.session.flags, self.app.session.manifests)
        if self._busy:
            told: Content = Content.styled(f" {self._said or self._busy}", "italic")
        elif self.report:
            told = _totals(self.report)
        else:
            told = Content(f" {visible(summary(self.plan))}" if self.plan else "")
        if self.plan and self.plan.breaking and not self.report:
            told += Content.styled(f"  {_breaking(self.plan.breaking)}", "$text-error")
        self.query_one("#summary", Static).update(
            Content("\n").join([told, Content.assemble((" $ ", "dim"), (visible(command), "$text-accent"))])
        )

    def on_resize(self) -> None:
        self.call_after_refresh(self._describe)

    @on(Table.Moved)
    def _describe(self) -> None:
        one = self.query_one(Table).current
        if isinstance(one, Progress):
            pane, target = self.query_one("#detail", Pane), self.app.session.target
            width = pane.width
            pane.say(
                words.outcome(one.outcome, target, width=width) if one.outcome else words.step(one.step, width=width)
            )

    # ── applying it ───────────────────────────────────────────────────────────────────────────────────────────────────

    def action_apply(self) -> None:
        """Ask, and carry out what is shown."""
        plan = self.plan
        if self.app.readonly:
            self.notify(READ_ONLY, severity="warning")
        elif self._busy or self.report or plan is None:
            self.notify("r plans anew" if self.report else "There is no plan yet.", severity="warning")
        elif not plan.pending:
            self.notify("There is nothing to carry out.", severity="warning")
        else:
            self.app.push_screen(Confirm(*self._question(plan)), self._answered)

    def _question(self, plan: Plan) -> tuple[str, str, str]:
        """The question, what has to be typed, and what is typed in words."""
        target = self.app.session.target
        where = f"{target.name}{' (PRODUCTION)' if target.production else ''}"
        text = f"{summary(plan)}\nTarget {where}, {target.nexus_url}"
        breaking = [step for step in plan.pending if step.breaks_clients]
        if plan.replacing or (self.intent.braked and plan.breaks_many):
            brakes = [(plan.replacing, "of what was deleted behind us, to be registered anew")]
            brakes += [(plan.breaking, "more than usual")] if self.intent.braked and plan.breaks_many else []
            braked = [f"{number} of these steps break clients, {why}." for number, why in brakes if number]
            numbers = " ".join(str(number) for number, _ in brakes if number)
            return "\n".join([text, *braked]), numbers, "that number" if len(braked) == 1 else "both numbers"
        if breaking or (target.production and any(step.operation == "expire" for step in plan.pending)):
            names = list(dict.fromkeys(step.name for step in breaking or plan.pending))
            told = "\n".join(f"{step.name}: {words.broken(step)}" for step in breaking[:3])
            typed = names[0] if len(names) == 1 else target.name
            return f"{text}\n{told}", typed, "its name" if len(names) == 1 else "the target's name"
        return text, "", ""

    def _answered(self, yes: bool | None) -> None:
        plan = self.plan
        if not yes or plan is None:
            return
        self._stop, self._ended = Stop(), 0
        many = self.intent.braked and plan.breaks_many
        ask = Ask(
            approved=plan.digest,
            hear=self._hear,
            say=self._say,
            stop=self._stop,
            allow_replace=plan.replacing if self.intent.braked else 0,
            allow_breaking=plan.breaking if many else 0,
        )
        bar = self.query_one(ProgressBar)
        bar.display = True
        bar.update(total=len(plan.pending), progress=0)
        self._begin("Applying: esc or ctrl+c starts no new step and finishes what has begun")
        session, intent = self.app.session, self.intent
        self.app.ask(lambda: session.carry_out(intent, ask), self._done, self._failed, group=CHANGE)

    def _hear(self, event: Event) -> None:
        """From a thread of the run."""
        self.app.call_later(self._heard, event)

    def _say(self, text: str) -> None:
        self.app.call_later(self._told_of_lock, text)

    def _told_of_lock(self, text: str) -> None:
        self._said = text
        self._tell()

    def _heard(self, event: Event) -> None:
        """One step has come further."""
        if not self.is_mounted or not self._stop:
            return
        self._said = ""
        for one in self._by_path.get(event.path, ()):
            if not isinstance(one.step, Blocked | Keep):
                one.stage = event.stage
        if ended(event):
            self._ended += 1
            self.query_one(ProgressBar).update(progress=self._ended)
        if loud(event) and event.stage != "done":
            self._said = f"{visible(event.name)}: {event.stage} {visible(event.detail)}"
        self.query_one(Table).refresh()

    def _done(self, answer: tuple[Report, Plan]) -> None:
        self.report, self.plan = answer
        self._over()
        outcomes = [one for one in self.report.outcomes if one.status is not Status.KEPT]
        outcomes.sort(key=lambda one: (one.status is Status.DONE, one.step.path))
        self._list([Progress(one.step, outcome=one) for one in outcomes])
        self._tell()
        hints = [hint for one in outcomes if (hint := way_on(one))]
        after = f"Next: {hints[0]}" if hints else "Next: esc, and v proves the credentials"
        self.notify(f"{_totals(self.report).plain.strip()}\n{after}", severity="warning" if hints else "information")
        self.app.look()

    def _over(self) -> None:
        """Nothing is under way any more, so that there is nothing to stop."""
        if self._stop and isinstance(self.app.screen, Confirm):
            self.app.screen.dismiss(None)
        self._busy, self._stop, self._said = "", None, ""
        self.query_one("#progress").display = False

    # ── leaving ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def under_way(self) -> bool:
        return self._stop is not None

    def interrupted(self) -> None:
        """Ask, and do what cancel does."""
        if self._stop and not isinstance(self.app.screen, Confirm):
            begun = "What has begun is finished, no new step begins, and the report stays here."
            if self._stop.asked:
                begun = (
                    "Stop sooner: each step ends once its credential is stored, and a later apply goes on from there."
                )
            self.app.push_screen(Confirm(f"Stop this apply?\n{begun}", yes="Stop"), self._cancelled)

    def _cancelled(self, yes: bool | None) -> None:
        if yes and self._stop:
            self._stop.request()
            self._busy = self._said = "Stopping: what has begun is being finished…"
            self._tell()

    def action_leave(self) -> None:
        if self.under_way:
            self.interrupted()
        else:
            self.dismiss()

    def action_copy(self) -> None:
        """The report, or before there is one the plan, as Markdown."""
        if self.report and self.plan:
            self.app.send_to_clipboard(report_markdown(self.report, self.plan.target), "report as Markdown")
        elif self.plan:
            self.app.send_to_clipboard(plan_markdown(self.plan), "plan as Markdown")


def _breaking(count: int) -> str:
    return f"{count} {'step breaks' if count == 1 else 'steps break'} clients"


def _totals(report: Report) -> Content:
    parts: list[Content | str] = [" "]
    for status in Status:
        if (count := len(report.of(status))) and status is not Status.KEPT:
            style = {"good": "$text-success", "bad": "$text-error"}.get(_ENDS.get(status, ""), "$text-warning")
            parts += [Content.styled(f"{count} {status}", style), "  "]
    parts += ["interrupted"] if report.interrupted else []
    parts += [Content.styled(f"stopped: {visible(report.cause.message)}", "$text-error")] if report.cause else []
    return Content.assemble(*parts) if len(parts) > 1 else Content(" nothing was to be done")


def _glyph(step: Step) -> str:
    from registrar.render import GLYPHS

    return f"{GLYPHS[step.operation][0]} {step.operation}"


def _step_style(step: Step) -> str:
    if isinstance(step, Blocked):
        return "bad"
    return "quiet" if isinstance(step, Keep) else "good" if step.operation in ("create", "adopt") else "attention"


def _said_style(one: Progress) -> str:
    return _ENDS.get(one.outcome.status, "") if one.outcome else "quiet"
