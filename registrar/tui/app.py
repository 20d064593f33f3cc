"""The frame: one session, what was observed and how old that is, the requests sent, and what holds everywhere.

Decides nothing and does no I/O: a session does, in worker threads, and what it answers comes back as a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

from textual import work
from textual.app import App, ScreenStackError, SystemCommand
from textual.binding import ActiveBinding, Binding, BindingType
from textual.content import Content
from textual.css.query import NoMatches
from textual.filter import Monochrome
from textual.screen import Screen
from textual.worker import WorkerFailed

from registrar.errors import NotSignedIn, RegistrarError, origin
from registrar.tui import rows
from registrar.tui.rows import Seen
from registrar.tui.session import Request, Session
from registrar.verify import Row as Proven
from registrar.verify import Verification
from registrar.wording import visible

if TYPE_CHECKING:
    from textual.actions import ActionParseResult
    from textual.dom import DOMNode

    from registrar.tui.screens.page import Page

_REQUESTS: Final = 2_000
_TICK_S: Final = 1.0
CHANGE: Final = "apply"
"""The group of calls that change something."""

LOOK: Final = "observe"
"""The group of calls that are about what every page shows."""

_TEXTUALS: Final = ("app.focus_", "screen.", "help_quit")  # what its own screens bind besides

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof in this session found of a path, and when by the monotonic clock."""

    row: Proven
    at: float


def _called(
    call: Callable[[], T], then: Callable[[T], None], otherwise: Callable[[RegistrarError], None], group: str
) -> Callable[[], None]:
    """What to do about the answer of the session, or about its error."""
    try:
        return partial(then, call())
    except RegistrarError as error:
        return partial(otherwise, error)
    except Exception as error:  # noqa: BLE001 (its text may hold anything, and an exception must not end the app)
        told = f"a defect of registrar: {type(error).__name__} in {origin(error)} ({group})"
    return partial(otherwise, RegistrarError(told, hint="r, to look at what is there by now"))


class RegistrarApp(App[None]):
    """`registrar tui`."""

    TITLE = "registrar"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 (as Textual declares it)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "Stop or quit", show=False, priority=True),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("L", "log", "Log of requests", show=False),
        Binding("D", "doctor", "Doctor", show=False),
        Binding("S", "switch", "Switch target", show=False),
        Binding("K", "who", "Sign in anew", show=False, tooltip="Sign in to Nexus or Vault as somebody else"),
    ]

    def __init__(self, session: Session, *, readonly: bool = False, monochrome: bool = False) -> None:
        super().__init__()
        self.session = session
        self.readonly = readonly
        self.seen: Seen | None = None
        self.seen_at = 0.0
        self.trouble: RegistrarError | None = None
        self.loading_world = False
        self.proofs: dict[str, Proof] = {}
        self.requests: deque[tuple[float, Request]] = deque(maxlen=_REQUESTS)
        self.crash: Exception | None = None
        if monochrome and not self.no_color:
            self._filters.append(Monochrome())
        self._listen()

    # ── what was observed ─────────────────────────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        from registrar.tui.screens.applications import Applications

        self.push_screen(Applications())
        self.set_interval(_TICK_S, self._tell_pages)
        self.call_after_refresh(self.look)

    def look(self) -> None:
        """Observe anew; what is shown stays until the answer is there."""
        if self.loading_world:
            return
        self.loading_world = True
        self._tell_pages()
        session = self.session
        self.ask(
            lambda: rows.seen(session.observe()),
            partial(self._observed, session),
            partial(self._in_trouble, session),
            group=LOOK,
        )

    def _observed(self, session: Session, seen: Seen) -> None:
        if session is not self.session:
            return
        self.seen, self.seen_at, self.trouble, self.loading_world = seen, time.monotonic(), None, False
        self._tell_pages(anew=True)

    def _in_trouble(self, session: Session, error: RegistrarError) -> None:
        if session is not self.session:
            return
        self.trouble, self.loading_world = error, False
        self._tell_pages(anew=True)
        if isinstance(error, NotSignedIn):
            self.sign_in(error)

    def remember(self, found: Verification) -> None:
        """What was proven of current credentials, until the target is left."""
        now = time.monotonic()
        self.proofs |= {row.path: Proof(row, now) for row in found.rows if row.until is None}

    def _tell_pages(self, *, anew: bool = False) -> None:
        from registrar.tui.screens.page import Page

        for screen in self.screen_stack:
            if isinstance(screen, Page) and screen.query("#title"):  # not while it is being taken down
                screen.told(anew=anew)

    # ── asking the session ────────────────────────────────────────────────────────────────────────────────────────────

    def ask(
        self,
        call: Callable[[], T],
        then: Callable[[T], None],
        otherwise: Callable[[RegistrarError], None],
        *,
        group: str,
    ) -> None:
        """Call the session in a thread of its own; then one of these, in the app.

        What a page has asked is not answered once that has been left.
        """
        self._asked(call, then, otherwise, group, self.screen)

    @work(exit_on_error=False)
    async def _asked(
        self,
        call: Callable[[], T],
        then: Callable[[T], None],
        otherwise: Callable[[RegistrarError], None],
        group: str,
        asking: Screen[Any],
    ) -> None:
        answered = asyncio.Event()
        loop, outcome = asyncio.get_running_loop(), list[Callable[[], None]]()

        def called() -> None:
            outcome.append(_called(call, then, otherwise, group))
            with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
                loop.call_soon_threadsafe(answered.set)

        # the end of the app waits for a change alone, not for a service that does not answer
        threading.Thread(target=called, name=group, daemon=group != CHANGE).start()
        await answered.wait()
        if group == LOOK or asking in self.screen_stack:
            outcome[0]()

    def _listen(self) -> None:
        self.session.on_request = self._requested

    def _requested(self, request: Request) -> None:
        self.requests.append((time.time(), request))  # a deque's append is atomic; pages look at it by the clock

    # ── what holds everywhere ─────────────────────────────────────────────────────────────────────────────────────────

    def sign_in(self, error: NotSignedIn) -> None:
        """Ask who we are, unless that is being asked."""
        from registrar.tui.screens.sign_in import SignIn

        if any(isinstance(screen, SignIn) for screen in self.screen_stack):
            return
        self.push_screen(SignIn(error.service, error.message), lambda done: self.look() if done else None)

    def action_who(self) -> None:
        """As after a refusal, or when a token has ended."""
        from registrar.tui.screens.dialogs import Choose

        if self._under_way is None:
            self.push_screen(Choose("Sign in anew to", ("Nexus", "Vault"), "Nexus"), self._who)

    def _who(self, service: str | None) -> None:
        if service:
            self.sign_in(NotSignedIn("in place of who we are by now", service=service))

    def switch(self, name: str) -> None:
        """Another target: everything that was observed of this one is forgotten."""
        before, self.session = self.session, self.session.switched(name)
        self._listen()
        self.seen, self.trouble, self.loading_world = None, None, False
        self.proofs.clear()
        self.ask(before.close, lambda _: None, lambda _: None, group="close")
        self._tell_pages(anew=True)
        self.look()

    def action_interrupt(self) -> None:
        """Ctrl-C: what a page makes of it, as an apply does; else the end."""
        busy = self._under_way
        if busy:
            busy.interrupted()
        else:
            self.exit()

    @property
    def _under_way(self) -> Page | None:
        """The page that is carrying out a change."""
        from registrar.tui.screens.page import Page

        return next((one for one in self.screen_stack if isinstance(one, Page) and one.under_way), None)

    async def action_quit(self) -> None:
        self.action_interrupt()

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """As Textual does, but for what comes too late or too early.

        An app that is ending has no pages to act on, and a list of choices that was never drawn knows no pages.
        """
        if self._exit or not self.is_running:
            return False
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except KeyError as error:
            if not origin(error).startswith("_move_page,"):
                raise
            return True

    def action_help(self) -> None:
        from registrar.tui.screens.dialogs import Help

        if not isinstance(self.screen, Help):
            self.push_screen(Help(self.keys_of(self.screen)))

    def action_log(self) -> None:
        from registrar.tui.screens.log import RequestLog

        self._once(RequestLog)

    def action_doctor(self) -> None:
        from registrar.tui.screens.doctor import Doctor

        self._once(Doctor)

    def action_switch(self) -> None:
        from registrar.tui.screens.dialogs import Choose

        names = self.session.targets
        if len(names) < 2:
            self.notify("There is no other target: registrar.yaml names them.", severity="warning")
            return
        self.push_screen(Choose("Switch to target", names, self.session.target.name), self._switched)

    def _switched(self, name: str | None) -> None:
        if name and self._under_way:
            self.notify("An apply is under way: let it end, or stop it, before you switch.", severity="warning")
        elif name and name != self.session.target.name:
            while len(self.screen_stack) > 2:
                self.pop_screen()
            self.switch(name)

    def action_command_palette(self) -> None:
        """Every action of this page, found by what it does."""
        from registrar.tui.screens.palette import Palette

        self.push_screen(Palette())

    def search_themes(self) -> None:
        """The palette's own command for the look."""
        from textual.theme import ThemeProvider

        from registrar.tui.screens.palette import Palette

        self.push_screen(Palette([ThemeProvider], placeholder="Search for themes…"))

    def _once(self, kind: type[Screen[None]]) -> None:
        if not any(isinstance(screen, kind) for screen in self.screen_stack):
            self.push_screen(kind())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 (Textual's)
        from textual.command import CommandPalette
        from textual.screen import ModalScreen

        if action == "command_palette" and any(isinstance(screen, CommandPalette) for screen in self.screen_stack):
            return False  # a page may have come over it, by a key that was pressed before
        if action in ("log", "doctor", "switch", "who", "help", "command_palette"):
            return not isinstance(self.screen, ModalScreen)
        return True

    def keys_of(self, screen: Screen[Any]) -> list[ActiveBinding]:
        """The keys of a page and of the app, each action once; not those of the widget that has the focus."""
        found: dict[str, ActiveBinding] = {}
        for active in screen.active_bindings.values():
            action, ours = active.binding.action, active.node in (screen, self)
            if ours and active.enabled and active.binding.description and not action.startswith(_TEXTUALS):
                found.setdefault(action, active)
        return list(found.values())

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every action of the current page with its key, then what Textual has."""
        for active in self.keys_of(screen):
            binding = active.binding
            key = self.get_key_display(binding)
            call = partial(self.run_action, binding.action, active.node)
            yield SystemCommand(binding.tooltip or binding.description, f"{binding.description}: {key}", call)
        for command in super().get_system_commands(screen):
            if command.title not in ("Keys", "Quit"):
                yield command

    # ── no secret leaves by a side door ───────────────────────────────────────────────────────────────────────────────

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """As it is on the screen, but for secrets, which are drawn as masks."""
        from registrar.tui.screens.page import Page

        for screen in self.screen_stack:
            if isinstance(screen, Page):
                screen.conceal()
        return super().export_screenshot(title=title, simplify=simplify)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: Literal["information", "warning", "error"] = "information",
        timeout: float | None = None,
        markup: bool = True,  # noqa: ARG002 (never)
    ) -> None:
        """A note in the corner; a name in it is never taken for markup, nor for a way to steer the terminal."""
        told = "\n".join(visible(line) for line in message.split("\n"))
        super().notify(told, title=title, severity=severity, timeout=timeout, markup=False)

    def send_to_clipboard(self, text: str, what: str) -> None:
        """By OSC 52, which has no answer; the app keeps nothing of it."""
        self.copy_to_clipboard(text)
        self._clipboard = ""
        self.notify(f"{what}: sent to the terminal clipboard (it does not tell whether it took it)")

    def _fatal_error(self) -> None:
        """The end after a defect: Textual would print the values of all locals, secrets among them."""
        self.bell()
        self._close_messages_no_wait()

    def _handle_exception(self, error: Exception) -> None:
        if _of_left_palette(error) or self._too_late(error):
            return
        self.crash = error
        super()._handle_exception(error)

    def _too_late(self, error: Exception) -> bool:
        """Whether it is about a key that was still on its way when the last page had gone."""
        return isinstance(error, ScreenStackError) and not any(self._screen_stacks.values())

    def freshness(self) -> Content:
        """How old what is shown is, and what is wrong with it."""
        if self.loading_world:
            return Content.styled("looking…", "italic")
        if self.seen is None:
            return Content.styled("nothing loaded" if self.trouble else "", "$text-error")
        seconds = int(time.monotonic() - self.seen_at)
        old = f"{seconds} s old" if seconds < 120 else f"{seconds // 60} min old"
        if self.trouble:
            return Content.styled(f"STALE, {old}", "reverse")
        return Content(old) if seconds >= 10 else Content("fresh")


def _of_left_palette(error: Exception) -> bool:
    """Whether it is Textual's palette, which goes on to gather commands once it has been left, and finds no list."""
    cause = error.error if isinstance(error, WorkerFailed) else None
    return isinstance(cause, NoMatches) and "'CommandList' on Palette" in str(cause)
