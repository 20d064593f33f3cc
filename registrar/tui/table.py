"""Rows of any number under fixed columns, of which only those in sight are drawn.

Owns the cursor and its keys. Knows nothing of what a row is: a column says how to read its text from one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

_MIN_FLEXIBLE: Final = 5


@dataclass(frozen=True)
class Column:
    """A title, the text of a row below it, and its width in cells; 0 shares what is left by `weight`.

    `style` names the component class a cell is drawn in; a column of higher `rank` goes first where there is no room.
    """

    title: str
    text: Callable[[Any], str]
    width: int = 0
    weight: int = 1
    rank: int = 0
    style: Callable[[Any], str] | None = None


def fitted(text: str, width: int) -> str:
    """The text in exactly so many cells, with an ellipsis where it is cut."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(width - 1, 0)) + "…"[: max(width, 0)]


class Table(ScrollView, can_focus=True):
    """A list with a header line and a cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header", "table--cursor", "table--even",
        "table--good", "table--bad", "table--attention", "table--quiet",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]
    ALLOW_SELECT = False

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor is on another row, or the rows are others."""

    class Opened(Message):
        """Enter, or a click on the row of the cursor."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None, empty: str = "") -> None:  # noqa: A002
        super().__init__(id=id)
        self.rows: Sequence[Any] = ()
        self.empty = empty
        self._columns = tuple(columns)
        self._layout: tuple[tuple[Column, int], ...] = ()

    @property
    def current(self) -> Any:
        """The row under the cursor, or None where there is none."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def show(self, rows: Sequence[Any], cursor: int = 0) -> None:
        """Other rows, with the cursor on this one."""
        self.rows = rows
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        self.set_reactive(Table.cursor, max(min(cursor, len(rows) - 1), 0))
        self._into_sight()
        self.refresh()
        self.post_message(self.Moved())

    def on_resize(self, event: events.Resize) -> None:
        self.virtual_size = Size(event.size.width, len(self.rows) + 1)
        self._layout = ()
        self._into_sight()

    def watch_cursor(self, before: int, now: int) -> None:
        if self._into_sight():
            self.refresh()
        else:
            for row in (before, now):
                self.refresh_lines(row + 1)  # below the header
        self.post_message(self.Moved())

    def action_move(self, by: int) -> None:
        self._to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self._to(self.cursor + by * max(self._in_sight - 1, 1))

    def action_edge(self, last: int) -> None:
        self._to(len(self.rows) - 1 if last else 0)

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        row = event.y - 1 + round(self.scroll_offset.y)
        if event.y and 0 <= row < len(self.rows):
            if row == self.cursor:
                self.action_open()
            self.cursor = row

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            style = self.get_component_rich_style("table--header")
            return self._strip([(fitted(column.title, size), style) for column, size in self._sized(width)], style)
        number = y - 1 + round(self.scroll_offset.y)
        if number >= len(self.rows):
            told = self.empty if y == 2 and not self.rows else ""
            return Strip([Segment(fitted(told, width), self.rich_style)])
        return self._row(number, width)

    def _row(self, number: int, width: int) -> Strip:
        row = self.rows[number]
        base = self.rich_style
        if number % 2:
            base += self.get_component_rich_style("table--even", partial=True)
        if number == self.cursor:
            base += self.get_component_rich_style("table--cursor", partial=True)
        cells = []
        for column, size in self._sized(width):
            own = f"table--{column.style(row)}" if column.style and number != self.cursor else ""
            style = base if own == "table--" or not own else base + self.get_component_rich_style(own, partial=True)
            cells.append((fitted(column.text(row), size), style))
        return self._strip(cells, base)

    def _strip(self, cells: Sequence[tuple[str, Style]], between: Style) -> Strip:
        segments: list[Segment] = []
        for text, style in cells:
            segments += [Segment(text, style), Segment(" ", between)]
        return Strip(segments).adjust_cell_length(self.size.width, between)

    def _sized(self, width: int) -> tuple[tuple[Column, int], ...]:
        """The columns that there is room for, with their widths."""
        if not self._layout:
            columns = list(self._columns)
            while len(columns) > 1 and _least(columns) > width:
                columns.remove(max(columns, key=lambda column: column.rank))
            free = width - sum(column.width + 1 for column in columns)
            weights = sum(column.weight for column in columns if not column.width)
            sizes = [column.width or max(free * column.weight // weights, 1) for column in columns]
            self._layout = tuple(zip(columns, sizes, strict=True))
        return self._layout

    @property
    def _in_sight(self) -> int:
        return max(self.size.height - 1, 1)

    def _to(self, row: int) -> None:
        self.cursor = max(min(row, len(self.rows) - 1), 0)

    def _into_sight(self) -> bool:
        """Scroll as far as the cursor needs; whether it had to."""
        before, height = round(self.scroll_offset.y), self._in_sight
        top = min(max(before, self.cursor - height + 1), self.cursor)
        self.scroll_to(y=top, animate=False, immediate=True)
        return top != before


def _least(columns: Sequence[Column]) -> int:
    return sum((column.width or _MIN_FLEXIBLE * column.weight) + 1 for column in columns)
