"""The palette of commands: Textual's, but left once and for good."""

from __future__ import annotations

from typing import Any, Final

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette, DiscoveryHit

from registrar.tui.screens.page import LeftOnce

_NOTHING: Final = DiscoveryHit("", lambda: None)


class Palette(LeftOnce, CommandPalette):
    """Commands by what they do, and the one that is chosen, carried out once.

    Keys come faster than a screen goes: of an enter that was pressed twice Textual would make two commands.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:
        if self not in self.app.screen_stack:
            self._selected_command = _NOTHING
        return super().dismiss(result)
