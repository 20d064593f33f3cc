"""stdout for data, stderr for talk: the only place that prints."""

from __future__ import annotations

import contextlib
import enum
import io
import sys
import threading
from collections.abc import Sequence
from typing import Any, TypeVar

import click

from registrar.errors import RegistrarError, origin

Command = TypeVar("Command", bound=click.Command)


class Format(enum.StrEnum):
    """What stdout is to be read by."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"
    PROMETHEUS = "prometheus"


def begin(words: Sequence[str]) -> None:
    """Look what format these words ask for, before they are parsed: that may fail, and is answered in it too."""
    _Asked.format, _Asked.answered = Format.TEXT, False
    for word, after in zip(words, [*words, ""][1:], strict=True):
        if word == "--":
            break
        if (after if word in ("-o", "--output") else word) in ("json", "-ojson", "--output=json"):
            _Asked.format = Format.JSON
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale without → or ≠ must not end a run that has begun
            stream.reconfigure(errors="backslashreplace")


def data(text: str | bytes) -> None:
    """To stdout, where a program may read it; a RegistrarError where that takes no more, as on a full disk.

    Bytes are written as they are, where a text would be spelt as the locale can.
    """
    try:
        click.echo(text)
        return
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror
    _Asked.answered = True
    with contextlib.suppress(OSError):
        sys.stdout.close()  # or Python tries once more at exit, and complains
    told = f"standard output cannot be written: {reason}"
    raise RegistrarError(told, hint="mend that; registrar status shows what is there by now")


def say(text: str) -> None:
    """To stderr, for people."""
    click.echo(text, err=True)


def fail(error: RegistrarError, *, code: int | None = None) -> int:
    """Say what happened, to which application and what to type next; the exit code it leads to."""
    from registrar.wording import error_json, error_text

    code = error.exit_code if code is None else code
    say(error_text(error))
    context = _Asked.format
    if context is Format.JSON and not _Asked.answered:
        with contextlib.suppress(BrokenPipeError, RegistrarError):  # nobody reads it; it has been said
            data(error_json(error, code))
    return code


def defect(error: Exception) -> RegistrarError:
    """What to say of an exception that is none of ours: its text may hold anything, so only its kind and place."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    say("".join(traceback.format_list(frames)).rstrip())
    told = f"a defect of registrar stopped it: {type(error).__name__} in {origin(error)}"
    return RegistrarError(told, hint="report it with the lines above; registrar status shows what is there by now")


class _Asked:
    """What the command line asked of stdout; a failure has to answer in the same format."""

    format = Format.TEXT
    answered = False


def document(text: str | bytes) -> None:
    """The one JSON document of a command."""
    _Asked.answered = True
    data(text)


def output_option(command: Command) -> Command:
    """`--output text|json`: the format never changes the exit code."""
    return _output(command, Format.TEXT, Format.JSON)


def markdown_option(command: Command) -> Command:
    """`--output text|json|markdown`, for what is written to be passed on."""
    return _output(command, Format.TEXT, Format.JSON, Format.MARKDOWN)


def findings_option(command: Command) -> Command:
    """`--output` with what the pages of CI systems read findings from."""
    return _output(command, Format.TEXT, Format.JSON, Format.SARIF, Format.JUNIT, Format.GITHUB, Format.MARKDOWN)


def report_option(command: Command) -> Command:
    """`--output` for a report that other programs take in: a ticket, a pipeline's tests, a monitor."""
    return _output(command, Format.TEXT, Format.JSON, Format.MARKDOWN, Format.JUNIT, Format.PROMETHEUS)


def untrusted_option(command: Command) -> Command:
    """`--untrusted`, for a checkout that a merge request has written."""
    told = "The checkout is a stranger's: nothing of its registrar.yaml is used, and no path leads out of it."
    command.params.append(click.Option(["--untrusted"], is_flag=True, default=None, help=told))
    return command


def _output(command: Command, *formats: Format) -> Command:

    def chosen(ctx: click.Context, option: click.Parameter, value: str) -> Format:  # noqa: ARG001 (click's signature)
        _Asked.format, _Asked.answered = Format(value), False
        return _Asked.format

    option = click.Option(
        ["-o", "--output", "output"],
        type=click.Choice([str(name) for name in formats]),
        default="text",
        show_default=True,
        callback=chosen,
        help="What to print on stdout.",
    )
    command.params.append(option)
    return command


class Progress:
    """What a run is doing, on stderr: a line for what people want to know, and on a terminal a line that counts."""

    def __init__(self, total: int = 0, *, verbose: bool = False) -> None:
        self.total = total
        self._verbose = verbose
        self._ended = 0
        self._live = sys.stderr.isatty()
        self._writing = threading.Lock()

    def __call__(self, event: Any) -> None:
        from registrar.render import ended, event_text, loud

        with self._writing:
            self._ended += ended(event)
            well = event.stage == "done" and not self._verbose
            if self._verbose or (
                loud(event) and not (well and self._live)
            ):  # a terminal's counter shows what goes well
                self._clear()
                say(event_text(event, brief=well))
            if self._live:
                click.echo(f"\r\x1b[K{self._ended}/{self.total}  {event_text(event)[:60]}", nl=False, err=True)

    def close(self) -> None:
        """Leave the terminal's line as it was found."""
        with self._writing:
            self._clear()

    def _clear(self) -> None:
        if self._live:
            click.echo("\r\x1b[K", nl=False, err=True)
