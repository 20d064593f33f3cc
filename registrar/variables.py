"""Variables: the names under which a program gets a credential, and how they are written in a file or for a shell.

Owns the names and the quoting. Pure: it is handed text that is open already, so it must never open a secret, and no
message of its has a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from registrar.client import FIELDS
from registrar.errors import StepFailed, UsageError
from registrar.logins import SECRETS

PREFIX: Final = "NEXUS_"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PRISTINE: Final = re.compile(r"PATH|HOME|TERM|LANG|LC_[A-Z_]+")


class Source(NamedTuple):
    """One value: a field of the application at this path."""

    path: str
    field: str

    def __str__(self) -> str:
        return f"{self.field} of {self.path}"


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def usual(field: str, prefix: str = PREFIX) -> str:
    """The variable that a field has unless somebody says otherwise."""
    return prefix + field.upper()


def valid(name: str) -> bool:
    """Whether every shell can spell a variable of this name."""
    return _NAME.fullmatch(name) is not None


def assigned(
    known: Mapping[str, Collection[str]],
    prefixes: Mapping[str, str],
    chosen: Iterable[tuple[str, Source]],
) -> dict[str, Source]:
    """What each variable gets, of the fields that are `known` of each path; a UsageError where one would get two.

    `prefixes` has a prefix by path, or none for PREFIX; a field that is `chosen` for a variable has no usual one.
    """
    chosen = list(chosen)
    moved = {source for _, source in chosen}
    found: dict[str, Source] = {}
    for variable, source in [*_usual(known, prefixes), *chosen]:
        if source in moved and (variable, source) not in chosen:
            continue
        if variable in found and found[variable] != source:
            raise _clash(variable, found[variable], source)
        found[variable] = source
    return found


def reserved(known: Mapping[str, Collection[str]], prefixes: Mapping[str, str]) -> set[str]:
    """The variables of all fields, known or not: one that is there from before would be of another application."""
    return {variable for variable, _ in _usual(dict.fromkeys(known, FIELDS), prefixes)}


def _usual(known: Mapping[str, Collection[str]], prefixes: Mapping[str, str]) -> Iterator[tuple[str, Source]]:
    for path, fields in known.items():
        for field in fields:
            yield usual(field, prefixes.get(path, PREFIX)), Source(path, field)


def _clash(variable: str, one: Source, other: Source) -> UsageError:
    told = f"{variable} would be both the {one} and the {other}"
    if one.path == other.path:
        return UsageError(told, hint=f"choose another name: --env NAME={other.field}")
    name = re.sub(r"[^A-Z0-9]+", "_", other.path.upper())
    return UsageError(told, hint=f"--prefix {other.path}={PREFIX}{name}_")


# ── an environment ────────────────────────────────────────────────────────────────────────────────────────────────────


def inherited(environ: Mapping[str, str], *, pristine: bool, keep: Collection[str] = ()) -> dict[str, str]:
    """What a program gets of this environment: without registrar's own logins, or next to nothing of it."""
    if pristine:
        return {name: text for name, text in environ.items() if name in keep or _PRISTINE.fullmatch(name)}
    return {name: text for name, text in environ.items() if name in keep or name not in SECRETS}


def encoded(text: str) -> bytes:
    """The text in UTF-8, whatever the locale says; StepFailed for half a character, which JSON can spell."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    raise StepFailed("a value of the credential is no text", hint="registrar rotate NAME, for a new one")


def refuse_null(variable: str, value: str) -> None:
    """Raise for what no environment can hold, since there a null ends a text."""
    if "\0" in value:
        raise _unwritable(variable, "an environment", "a null", "json", "yaml")


# ── formats ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def env(values: Mapping[str, str]) -> str:
    """As `docker run --env-file` and its like read it: everything after = as it is, one line each."""
    for name, value in values.items():
        refuse_null(name, value)
        if "\n" in value or "\r" in value:
            raise _unwritable(name, "an env file", "a line break", "shell", "json", "yaml")
    return "\n".join(f"{name}={value}" for name, value in values.items())


def dotenv(values: Mapping[str, str]) -> str:
    """Quoted so that the dotenv libraries of Python, Node and Ruby read the same."""
    return "\n".join(f"{name}={_dotenv(name, value)}" for name, value in values.items())


def _dotenv(name: str, value: str) -> str:
    refuse_null(name, value)
    # They differ in what a backslash does before another one or a quote, and a \r in the file is a line break to some.
    # python-dotenv replaces ${…} in any quotes; Ruby's and Compose's replace every $ in double ones.
    if "\r" not in value and "${" not in value:
        if "'" not in value and "\\\\" not in value and not value.endswith("\\"):
            return f"'{value}'"
        if not set(value) & set('"\\$'):
            return f'"{value}"'
    raise _unwritable(name, "a dotenv file", "characters that its readers take differently", "shell", "json", "yaml")


def shell(values: Mapping[str, str]) -> str:
    """For a POSIX shell to evaluate: quoted always, so that nothing in a value means anything."""
    for name, value in values.items():
        refuse_null(name, value)
    return "\n".join(f"export {name}={_quoted(value)}" for name, value in values.items())


def _quoted(value: str) -> str:
    escaped = value.replace("'", "'\"'\"'")
    return f"'{escaped}'"


def json_object(values: Mapping[str, str]) -> str:
    return json.dumps(values, indent=2)


def yaml(values: Mapping[str, str]) -> str:
    """A mapping of double-quoted texts, the one style in which a text is never a number, a date or a `no`."""
    return "\n".join(f'{name}: "{"".join(map(_escaped, value))}"' for name, value in values.items())


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if " " <= character <= "~" else f"\\U{ord(character):08x}"


FORMATS: Final[Mapping[str, Callable[[Mapping[str, str]], str]]] = {
    "env": env,
    "dotenv": dotenv,
    "json": json_object,
    "yaml": yaml,
    "shell": shell,
}
_OF_VARIABLES: Final = ("env", "dotenv", "shell")


def written(format_: str, values: Mapping[str, str]) -> str:
    """These values by their field in one of the FORMATS; a UsageError names another where that one cannot say them."""
    if format_ in _OF_VARIABLES:
        values = {usual(field): value for field, value in values.items()}
    return FORMATS[format_](values)


def _unwritable(variable: str, where: str, what: str, *formats: str) -> UsageError:
    hint = f"registrar creds get NAME --format {', or '.join(formats)}"
    return UsageError(f"{variable} has {what}, which {where} cannot hold", hint=hint)
