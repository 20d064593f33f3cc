"""The log: every request that this session has sent, never a body."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from registrar.tui.screens.page import Page
from registrar.tui.table import Column, Table
from registrar.wording import visible


class RequestLog(Page):
    """Method, path, status and time, the newest first."""

    SUBJECT = "Requests"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", show=True)]

    def content(self) -> ComposeResult:
        yield Table(
            (
                Column("AT", lambda one: time.strftime("%H:%M:%S", time.localtime(one[0])), 8),
                Column("METHOD", lambda one: one[1].method, 7),
                Column("STATUS", lambda one: str(one[1].status or "none"), 6, style=_status_style),
                Column("MS", lambda one: f"{one[1].took_ms:.0f}", 6),
                Column("PATH", lambda one: visible(one[1].path)),
            ),
            empty="  Nothing was sent yet.",
        )

    def on_mount(self) -> None:
        self.query_one(Table).focus()

    def told(self, *, anew: bool) -> None:
        super().told(anew=anew)
        table = self.query_one(Table)
        found = list(self.app.requests)[::-1]
        if len(found) != len(table.rows) or (found and found[0] is not table.rows[0]):
            table.show(found, table.cursor + (len(found) - len(table.rows) if table.cursor else 0))


def _status_style(one: tuple[float, object]) -> str:
    status = getattr(one[1], "status", None)
    return "good" if status and status < 400 else "bad"
