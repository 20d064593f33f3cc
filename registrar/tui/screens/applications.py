"""The first page: every application in one line, the current one in full, and a key for all that can be done."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Input, Static

from registrar.doctor import counted
from registrar.model import Credential, same_name
from registrar.tui import intents, rows, words
from registrar.tui.intents import Intent
from registrar.tui.rows import BY_HAND, Line
from registrar.tui.screens.page import Page, Pane, told_error
from registrar.tui.table import Column, Table
from registrar.verify import State as Proven
from registrar.verify import Verification
from registrar.wording import visible

_STATE_CELLS: Final = 13
_CELL_STYLES: Final = {"in sync": "good", "undeclared": "quiet", "blocked": "bad", "interrupted": "bad"}


class Applications(Page):
    """What a sysadmin looks at all day."""

    ACTS = frozenset({"new", "edit", "plan", "plan_all", "prune", "rotate", "retire", "restore", "adopt", "recover"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("space", "mark", "Mark", key_display="space"),
        Binding("p", "plan", "Plan", tooltip="Plan and apply the marked ones, or the one under the cursor"),
        Binding("a", "plan_all", "All", tooltip="Plan and apply everything that the manifests declare"),
        Binding("n", "new", "New", tooltip="Write a new application into a manifest"),
        Binding("e", "edit", "Edit", tooltip="Edit its entry in the manifest"),
        Binding("c", "credential", "Creds", tooltip="Its credential: show, copy, versions, rotate"),
        Binding("v", "verify", "Verify", tooltip="Prove the stored credential against Nexus"),
        Binding("t", "rotate", "Rotate", show=False, tooltip="Replace its credential by a new one"),
        Binding("x", "retire", "Retire", show=False, tooltip="Withdraw its credential and archive it"),
        Binding("u", "restore", "Restore", show=False, tooltip="Bring back what was retired or archived"),
        Binding("o", "adopt", "Adopt", show=False, tooltip="Take over what was registered by hand, or by another set"),
        Binding("i", "recover", "Recover", show=False, tooltip="Finish or undo what an interrupted run left"),
        Binding("P", "prune", "Apply and prune", show=False, tooltip="Retire what the manifests no longer declare"),
        Binding("V", "verify_all", "Verify all", show=False, tooltip="Prove every stored credential"),
        Binding("y", "copy", "Copy client id", show=False, tooltip="Copy the client id, or the Vault path without one"),
        Binding("r", "refresh", "Refresh", show=False),
        Binding("escape", "leave", "Clear filter and marks", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.marked: set[str] = set()
        self._filter = ""

    def content(self) -> ComposeResult:
        yield Input(placeholder="name, host, owner, path or state", id="filter", compact=True)
        with Container(id="body"):
            yield Table(self._columns(), id="list", empty="  Looking at Nexus and Vault…")
            yield Pane(id="detail")
        yield Static(id="counts")

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        self.query_one(Table).focus()

    def _columns(self) -> Sequence[Column]:
        return (
            Column(" ", self._mark, width=1),
            Column("STATE", lambda line: f"{line.glyph} {line.row.state}", _STATE_CELLS, style=_cell_style),
            Column("NAME", lambda line: visible(line.row.name), weight=3),
            Column("HOST", lambda line: line.host, weight=3, rank=1),
            Column("PATH", lambda line: visible(line.row.path), weight=2, rank=3),
            Column("MNV", lambda line: line.sides, width=3, rank=2),
            Column("AGE", lambda line: rows.age(line.made_at, line.seen_at), width=4, rank=4),
            Column("PROOF", self._proof, width=9, rank=5, style=self._proof_style),
            Column("OWNER", lambda line: line.owner, weight=2, rank=6),
        )

    def _mark(self, line: Line) -> str:
        return "*" if line.key in self.marked else " "

    def _proof(self, line: Line) -> str:
        if proof := self.app.proofs.get(line.key):
            return str(proof.row.state)
        ago = rows.age(line.proven_at, line.seen_at)
        return f"ok {ago}" if ago else ""

    def _proof_style(self, line: Line) -> str:
        proof = self.app.proofs.get(line.key)
        return (
            {Proven.RIGHT: "good", Proven.WRONG: "bad", Proven.MISSING: "bad"}.get(proof.row.state, "") if proof else ""
        )

    # ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────

    def told(self, *, anew: bool) -> None:
        super().told(anew=anew)
        self.set_class(self.app.trouble is not None and self.app.seen is not None, "-stale")
        if anew:
            self._list()
        self._count()

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.app.seen.lines if self.app.seen else ()

    @property
    def current(self) -> Line | None:
        found = self.query_one(Table).current
        return found if isinstance(found, Line) else None

    def _list(self) -> None:
        """The lines that the filter leaves, with the cursor where it was."""
        table, before = self.query_one(Table), self.current
        shown = rows.matching(self.lines, self._filter)
        self.marked &= {line.key for line in self.lines}
        table.empty = self._nothing()
        place = next((number for number, line in enumerate(shown) if before and line.key == before.key), table.cursor)
        table.show(shown, place)
        if not shown:
            self._describe()

    def _nothing(self) -> str:
        if self._filter and self.lines:
            return "  Nothing has all of these words. esc clears the filter."
        if self.app.seen:
            return "  No applications yet. n writes the first one into a manifest."
        return (
            "  Nothing could be loaded. r tries again, n writes a new application."
            if self.app.trouble
            else "  Looking at Nexus and Vault…"
        )

    @on(Table.Moved)
    def _describe(self) -> None:
        pane, line = self.query_one("#detail", Pane), self.current
        error = self.app.trouble
        parts = (
            [told_error(error, "r tries again; D looks at everything that a run needs"), Content("")] if error else []
        )
        if line and self.app.seen:
            remedy = line.remedy
            session = self.app.session
            typed = tuple(shlex.split(remedy.command)) if remedy else ()
            command = intents.command(typed, session.flags, session.manifests) if typed else ""
            proof = self._proven(line.key)
            parts.append(words.application(self.app.seen.world, line, command, width=pane.width, proof=proof))
        pane.say(Content("\n").join(parts))

    def on_resize(self) -> None:
        self.call_after_refresh(self._describe)

    def _proven(self, key: str) -> str:
        proof = self.app.proofs.get(key)
        if not proof:
            return ""
        seconds = int(time.monotonic() - proof.at)
        return f"{proof.row.state}, {seconds} s ago: {visible(proof.row.reason)}"

    def _count(self) -> None:
        parts: list[Content | str] = [" "]
        for state, count in (self.app.seen.counts if self.app.seen else {}).items():
            parts += [Content.styled(f"{rows.GLYPHS.get(state, '*')} {count} {state}", words.state_style(state)), "   "]
        if self.marked:
            parts.append(Content.styled(f"* {len(self.marked)} marked   ", "bold"))
        if self._filter:
            shown = len(self.query_one(Table).rows)
            parts.append(Content.styled(f"/{visible(self._filter)}: {shown} of {len(self.lines)}", "bold"))
        self.query_one("#counts", Static).update(Content.assemble(*parts))

    # ── filter and marks ──────────────────────────────────────────────────────────────────────────────────────────────

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        self._filter = event.value
        self._list()
        self._count()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.query_one(Table).focus()
        self.query_one("#filter").display = bool(self._filter)

    def on_key(self, event: events.Key) -> None:
        """Down leaves the filter for the list, as in every picker."""
        if event.key == "down" and self.query_one("#filter").has_focus:
            event.stop()
            self._filter_done()

    def action_leave(self) -> None:
        field = self.query_one("#filter", Input)
        if self._filter or field.display:
            field.value = ""
            field.display = False
        elif self.marked:
            self.marked.clear()
        self.query_one(Table).focus()
        self.query_one(Table).refresh()
        self._count()

    def action_mark(self) -> None:
        if line := self.current:
            self.marked ^= {line.key}
            table = self.query_one(Table)
            table.action_move(1)
            table.refresh()
            self._count()

    def action_refresh(self) -> None:
        self.app.look()

    @property
    def chosen(self) -> tuple[Line, ...]:
        """The marked ones, or the one under the cursor."""
        if self.marked:
            return tuple(rows.selected(self.lines, frozenset(self.marked)))
        return (self.current,) if self.current else ()

    def _paths(self) -> tuple[str, ...]:
        """The paths of what is chosen; what was registered by hand has none."""
        paths = tuple(line.row.path for line in self.chosen if line.row.path)
        if not paths:
            told = "It is in no manifest yet: n declares it, then o adopts it." if self.chosen else "Nothing is chosen."
            self.notify(told, severity="warning")
        return paths

    # ── what can be done ──────────────────────────────────────────────────────────────────────────────────────────────

    def carry_out(self, intent: Intent) -> None:
        """Show its plan, from where it can be applied."""
        from registrar.tui.screens.plan import PlanPage

        self.app.push_screen(PlanPage(intent))

    def _of_paths(self, make: Callable[[tuple[str, ...]], Intent]) -> None:
        if paths := self._paths():
            self.carry_out(make(paths))

    def action_plan(self) -> None:
        self._of_paths(intents.apply)

    def action_plan_all(self) -> None:
        self.carry_out(intents.apply())

    def action_prune(self) -> None:
        if self.app.session.target.set:
            self.carry_out(intents.prune())
        else:
            self.notify("registrar.yaml names no set, so nothing is known to be this repository's.", severity="warning")

    def action_recover(self) -> None:
        self.carry_out(intents.recover())

    def action_retire(self) -> None:
        self._of_paths(intents.retire)

    def action_restore(self) -> None:
        anew = bool(self.chosen) and all(line.anew for line in self.chosen)
        self._of_paths(lambda paths: intents.restore(paths, anew=anew))

    def action_rotate(self) -> None:
        from registrar.tui.screens.dialogs import Grace

        if paths := self._paths():
            self.app.push_screen(Grace(paths), lambda grace: self._rotate(paths, grace))

    def _rotate(self, paths: tuple[str, ...], grace: timedelta | None) -> None:
        if grace is not None:
            self.carry_out(intents.rotate(paths, grace))

    def action_adopt(self) -> None:
        """Of another set, or by hand, whose secret has to be shown."""
        from registrar.tui.screens.dialogs import Adoption

        line = self.current
        if not line or not line.row.path:
            self.notify("n declares it in a manifest first; o on that line adopts it.", severity="warning")
            return
        if "--take-over" in line.row.hint:
            self.carry_out(intents.take_over(line.row.path))
            return
        path = line.row.path
        found = self.app.seen.world.strangers.get(same_name(line.row.name), ()) if self.app.seen else ()
        known = found[0].client_id if len(found) == 1 else ""
        self.app.push_screen(Adoption(line.row.name, known), lambda shown: self._adopt(path, shown))

    def _adopt(self, path: str, shown: tuple[str, Credential | None] | None) -> None:
        if shown:
            client_id, credential = shown
            self.carry_out(intents.adopt(path, client_id, credential))

    def action_new(self) -> None:
        from registrar.tui.screens.edit import Edit

        line = self.current
        stranger = line.stranger if line and line.row.state == BY_HAND else None
        self.app.push_screen(Edit(like=stranger))

    def action_edit(self) -> None:
        from registrar.tui.screens.edit import Edit

        line = self.current
        if line and line.row.manifest == "declared":
            self.app.push_screen(Edit(path=line.row.path))
        elif line:
            self.notify("No manifest declares it: n writes a new entry.", severity="warning")

    @on(Table.Opened)
    def action_credential(self) -> None:
        from registrar.tui.screens.credential import CredentialPage

        line = self.current
        if line and line.row.version:
            self.app.push_screen(CredentialPage(line.row.path))
        elif line:
            self.notify("It has no credential yet: p plans it.", severity="warning")

    def action_verify(self) -> None:
        if paths := self._paths():
            self._verify(paths)

    def action_verify_all(self) -> None:
        self._verify(())

    def _verify(self, names: tuple[str, ...]) -> None:
        self.notify(f"Proving {counted(len(names), 'credential') if names else 'all credentials'} against Nexus…")
        session = self.app.session
        self.app.ask(
            lambda: session.verify(names),
            self._verified,
            lambda error: self.notify(f"{error.message}\n{error.hint}", severity="error", timeout=15),
            group="verify",
        )

    def _verified(self, found: Verification) -> None:
        self.app.remember(found)
        wrong = sum(row.state in (Proven.WRONG, Proven.MISSING) for row in found.rows)
        untold = sum(row.state in (Proven.UNTOLD, Proven.UNPROVEN) for row in found.rows)
        right = len(found.rows) - wrong - untold
        told = f"{counted(len(found.rows), 'credential')}: {right} right, {wrong} wrong or missing, {untold} not told"
        self.notify(told, severity="error" if wrong else "warning" if untold else "information")
        self.query_one(Table).refresh()
        self._describe()

    def action_copy(self) -> None:
        if line := self.current:
            text = line.row.client_id or self.app.session.target.location(line.row.path)
            self.app.send_to_clipboard(text, "client id" if line.row.client_id else "Vault path")


def _cell_style(line: Line) -> str:
    return _CELL_STYLES.get(line.row.state, "attention")
