"""Together: several targets as one answer: their digest, their exit code, and what is said of all of them at the end.

Owns what a run over several targets adds to what each of them says. Must never decide about an application, or print.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from registrar import drift, markdown, prometheus, render
from registrar import plan as planning
from registrar.doctor import counted
from registrar.errors import CustodyError, Interrupted, RegistrarError, Stale, StepFailed
from registrar.model import Target
from registrar.plan import Plan
from registrar.report import Report
from registrar.report import Status as Ended
from registrar.status import Status
from registrar.verify import Verification
from registrar.wording import error_document, machine, visible

# An interrupted run and a lost secret come first, then what was done in part; of what changed nothing, that which
# somebody has to mend comes before that which may pass by itself.
_WORST_FIRST: Final = (130, 7, 1, 64, 4, 5, 6, 3, 2, 0)


def worst(codes: Iterable[int]) -> int:
    """The exit code of several."""
    return min(codes, key=_WORST_FIRST.index, default=0)


def digest(plans: Sequence[Plan]) -> str:
    """The digest that approves all of these plans, in this order; of a single one its own."""
    if len(plans) == 1:
        return plans[0].digest
    return hashlib.sha256("\n".join(plan.digest for plan in plans).encode()).hexdigest()[:32]


def expect(plans: Sequence[Plan], approved: str | None) -> None:
    """Raise Stale unless the plans are those that were approved together; no digest approves any."""
    if len(plans) == 1:
        planning.expect(plans[0], approved)
    elif approved is not None and digest(plans) != approved:
        alone = next((plan.target.name for plan in plans if plan.digest == approved), None)
        hint = f"that approves {alone} alone: registrar apply --target {alone}" if alone else ""
        message = f"the plans have the digest {digest(plans)} in all, approved was {approved}"
        raise Stale(message, hint=hint or "registrar plan, to review what they are now")


Found = TypeVar("Found")


@dataclass(frozen=True)
class Look(Generic[Found]):
    """What looking at one target came to: what was found, or what was in the way."""

    target: str
    found: Found | None = None
    error: RegistrarError | None = None


@dataclass(frozen=True)
class View(Generic[Found]):
    """How what is found at a target is told, alone and as one of several."""

    kinds: str  # of the document on several, and of its member with what was found
    text: Callable[[Found, bool], str]  # the second is whether with colour
    json: Callable[[Found], str]
    document: Callable[[Found], dict[str, Any]]
    several_json: Callable[[dict[str, Any]], str]
    total: Callable[[Sequence[Found], bool], Sequence[str]]  # the second is whether that is all that was asked for
    rest: Callable[[Sequence[Found], bool], dict[str, Any]] = lambda _found, _whole: {}
    headed: bool = True  # whether the text begins with its target
    markdown: Callable[[Found, int], str] | None = None  # the second is the most characters
    others: Mapping[str, Callable[[Found], str]] = field(default_factory=dict)  # formats that tell of one target alone

    def told(self, found: Found, form: str, *, colour: bool = False) -> str:
        """What was found at the one target that was meant, in this format."""
        if form == "json":
            return self.json(found)
        if form == "markdown" and self.markdown:
            return self.markdown(found, markdown.LIMIT).rstrip("\n")
        return self.others[form](found).rstrip("\n") if form in self.others else self.text(found, colour)

    def several(self, looks: Sequence[Look[Found]], form: str, code: int, *, colour: bool = False) -> str:
        """What was found at several, one after the other, each under its target, and what it comes to."""
        if form == "json":
            return self._json(looks, code)
        found, failed = parted(looks)
        ending = f"{counted(len(looks), 'target')}: " + "\n".join(self._ending(found, failed))
        if form == "markdown" and self.markdown:
            return several_markdown(looks, self.markdown, ending)
        return "\n\n".join([*(self._block(look, colour) for look in looks), ending])

    def _json(self, looks: Sequence[Look[Found]], code: int) -> str:
        found, failed = parted(looks)
        content = {
            self.kinds: [self.document(one) for one in found],
            "errors": errors_document(failed),
            **self.rest(found, not failed),
            "exit_code": code,
        }
        return self.several_json(content)

    def _block(self, look: Look[Found], colour: bool) -> str:
        if look.found is None:
            told = look.error.message if look.error else ""
            return "\n".join([f"Target {look.target}", *(f"  {visible(line)}" for line in told.split("\n"))])
        text = self.text(look.found, colour)
        return text if self.headed else f"Target {look.target}\n\n{text}"

    def _ending(self, found: Sequence[Found], failed: Sequence[Look[Found]]) -> list[str]:
        lines = list(self.total(found, not failed)) if found else ["nothing could be looked at"]
        if found and failed:
            lines.insert(1, f"Not looked at: {', '.join(look.target for look in failed)}.")
        return lines


_ROOM: Final = 2_000  # characters of a comment for what is said of all targets
_SAID: Final = 300  # of what was in the way at one


def several_markdown(looks: Sequence[Look[Found]], one: Callable[[Found, int], str], ending: str) -> str:
    """A comment on several targets, each with its part of the room, and below them what they come to."""
    room = (markdown.LIMIT - _ROOM - _SAID * len(looks)) // max(len(looks), 1)
    blocks = [
        f"### {markdown.name(look.target)}\n\n> {markdown.prose(look.error.message[:_SAID] if look.error else '')}\n"
        if look.found is None
        else one(look.found, room)
        for look in looks
    ]
    return "\n".join([*blocks, *(f"{markdown.prose(line)}\n" for line in ending.split("\n"))]).rstrip("\n")


def parted(looks: Sequence[Look[Found]]) -> tuple[list[Found], list[Look[Found]]]:
    """What was found, and the targets at which something was in the way."""
    return [look.found for look in looks if look.found is not None], [look for look in looks if look.found is None]


def errors_document(failed: Iterable[Look[Any]]) -> list[dict[str, Any]]:
    """What was in the way, by target, as JSON has it."""
    return [
        {"target": look.target, **error_document(look.error, look.error.exit_code)} for look in failed if look.error
    ]


# ── what there is to look at ──────────────────────────────────────────────────────────────────────────────────────────


def _within(sentence: str) -> str:
    """A sentence as the second part of one."""
    return sentence[0].lower() + sentence[1:]


def _plans_total(plans: Sequence[Plan], whole: bool) -> list[str]:
    approvable = whole and all(plan.with_nexus for plan in plans) and any(plan.pending for plan in plans)
    summary = render.summary(*plans).removeprefix("Plan: ")
    return [_within(summary), *([f"Digest of all: {digest(plans)}"] if approvable else [])]


def _plans_rest(plans: Sequence[Plan], whole: bool) -> dict[str, Any]:
    approvable = whole and all(plan.with_nexus for plan in plans)
    counts = Counter(step.operation for plan in plans for step in plan.steps)
    return {"digest": digest(plans) if approvable else None, "counts": dict(counts)}


def plans(remarks: Sequence[str] = ()) -> View[Plan]:
    """How plans are told; a comment begins with the remarks there are by then."""
    return View(
        "plans",
        lambda plan, colour: render.plan_text(plan, colour=colour),
        render.plan_json,
        render.plan_document,
        lambda content: machine("plans", content),
        _plans_total,
        _plans_rest,
        markdown=lambda plan, limit: markdown.plan_markdown(plan, remarks=remarks, limit=limit),
    )


_Status = tuple[Status, Target]


def _statuses_total(found: Sequence[_Status], _whole: bool) -> list[str]:
    counts = Counter(row.state for status, _ in found for row in status.rows)
    return [", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no applications yet"]


STATUS: Final = View[_Status](
    "statuses",
    lambda found, colour: render.status_text(*found, colour=colour),
    lambda found: render.status_json(*found),
    lambda found: render.status_document(*found),
    lambda content: machine("statuses", content),
    _statuses_total,
    markdown=lambda found, limit: drift.status_markdown(*found, limit=limit),
    others={
        "junit": lambda found: drift.status_junit(*found),
        "prometheus": lambda found: prometheus.status_prometheus(*found),
    },
)

_Verification = tuple[Verification, Target]

VERIFICATION: Final = View[_Verification](
    "verifications",
    lambda found, colour: render.verification_text(*found, colour=colour),
    lambda found: render.verification_json(*found),
    lambda found: render.verification_document(*found),
    lambda content: machine("verifications", content),
    lambda found, _whole: [render.proofs(*(verification for verification, _ in found))],
    headed=False,
)


def recovery(nothing: str) -> View[Plan]:
    """How what interrupted runs left is told: `nothing` where they left nothing."""

    def text(plan: Plan, colour: bool) -> str:
        return render.plan_text(plan, colour=colour) if plan.steps else f"Target {plan.target.name}\n  {nothing}"

    def total(plans: Sequence[Plan], whole: bool) -> Sequence[str]:
        return _plans_total(plans, whole) if any(plan.steps for plan in plans) else [_within(nothing)]

    return replace(plans(), text=text, total=total)


# ── what became of several ────────────────────────────────────────────────────────────────────────────────────────────

Done = tuple[Report, Plan]


@dataclass(frozen=True)
class Rollout:
    """What became of several targets: those that were begun, in order, and those that were not.

    `way_on` is typed next.
    """

    begun: tuple[Look[Done], ...]
    not_begun: tuple[str, ...] = ()
    stopped: bool = False  # by a signal that came when all that was begun had ended
    way_on: str = ""
    digest: str = ""

    @property
    def reports(self) -> list[Report]:
        return [report for report, _ in parted(self.begun)[0]]

    @property
    def uneventful(self) -> bool:
        """Whether nothing was to be done, which the plans have said."""
        return not self.exit_code and not any(report.of(Ended.DONE) for report in self.reports)

    @property
    def interrupted(self) -> bool:
        asked = any(report.interrupted for report in self.reports)
        return self.stopped or asked or any(isinstance(look.error, Interrupted) for look in self.begun)

    @property
    def exit_code(self) -> int:
        """That of the worst; once anything is changed an error is a 1, since the codes of what is refused deny it."""
        codes, changed = [Interrupted.exit_code] if self.interrupted else [], False
        for look in self.begun:
            if look.found:
                codes.append(look.found[0].exit_code)
                changed |= bool(look.found[0].of(Ended.DONE))
            elif look.error:
                own = look.error.exit_code
                codes.append(StepFailed.exit_code if changed and own != CustodyError.exit_code else own)
        return worst(codes)


def done_text(target: str, done: Done, *, colour: bool = False) -> str:
    """The report of one of several targets."""
    report, plan = done
    return f"Target {target}\n\n{render.report_text(report, plan.target, colour=colour)}\n"


def rollout_text(rollout: Rollout) -> str:
    """What all of it comes to, and the command that goes on."""
    parts = [render.ended_how(*rollout.reports)]
    parts += [f"failed: {look.target}" for look in rollout.begun if look.error]
    parts += [f"not begun: {', '.join(rollout.not_begun)}"] if rollout.not_begun else []
    parts += ["interrupted"] if rollout.interrupted else []
    total = counted(len(rollout.begun) + len(rollout.not_begun), "target")
    return "\n".join([f"{total}: {'; '.join(parts)}", *([f"  → {rollout.way_on}"] if rollout.way_on else [])])


def rollout_markdown(rollout: Rollout) -> str:
    """The same as a comment, with the report of each."""

    def one(done: Done, limit: int) -> str:
        report, plan = done
        return markdown.report_markdown(report, plan.target, limit=limit)

    return several_markdown(rollout.begun, one, rollout_text(rollout).replace("\n  → ", "\n"))


def rollout_json(rollout: Rollout) -> str:
    found, failed = parted(rollout.begun)
    content = {
        "digest": rollout.digest or None,
        "reports": [render.report_document(*done) for done in found],
        "errors": errors_document(failed),
        "not_begun": list(rollout.not_begun),
        "hint": rollout.way_on,
        "interrupted": rollout.interrupted,
        "exit_code": rollout.exit_code,
    }
    return machine("reports", content)
