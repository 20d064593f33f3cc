"""Knows every secret that went over the wire, and finds any of them in whatever a command left behind."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.custody.proxy import Answer, Exchange

_FRAGMENT = 12
_JWT = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*", re.ASCII)
_KEYS = frozenset({"apiSecret", "apiKey", "clientSecretRaw", "client_secret", "access_token"})


class Canary:
    """The secrets of a test, by what they are; a leak is any fragment of one, however it is spelt."""

    def __init__(self) -> None:
        self._fragments: dict[str, str] = {}
        self.planted: dict[str, str] = {}

    def plant(self, secret: str, what: str) -> None:
        """Look for this one from now on."""
        if not secret or secret in self.planted:
            return
        self.planted[secret] = what
        for form in _spellings(secret):
            for start in range(max(len(form) - _FRAGMENT, 0) + 1):
                self._fragments.setdefault(form[start : start + _FRAGMENT], what)

    def overhear(self, exchange: Exchange, answer: Answer) -> None:
        """Plant whatever is secret in an exchange: the tokens and keys of the request, the secrets of the answer."""
        for name, value in exchange.headers.items():
            if name.lower() in ("authorization", "x-vault-token"):
                self.plant(value.rpartition(" ")[2], name)
        for body in (exchange.body, answer.body):
            text = body.decode(errors="replace")
            for token in _JWT.findall(text):
                self.plant(token, "a token")
            for name, value in _members(text):
                if name in _KEYS:
                    self.plant(value, name)

    def leaks(self, text: str, where: str) -> set[str]:
        """What of the secrets is in a text, each with its place; empty when all is well."""
        found = {
            self._fragments[text[start : start + _FRAGMENT]]
            for start in range(max(len(text) - _FRAGMENT, 0) + 1)
            if text[start : start + _FRAGMENT] in self._fragments
        }
        return {f"{what} in {where}" for what in found}

    def leaks_in_files(self, *folders: Path) -> set[str]:
        """The same for every file below these folders, and its name."""
        return {
            leak
            for folder in folders
            for file in folder.rglob("*")
            for leak in self.leaks(
                f"{file.name}\n{file.read_bytes().decode(errors='replace') if file.is_file() else ''}", str(file)
            )
        }

    def leaks_in_processes(self) -> set[str]:
        """The same for the command line of every process of this machine."""
        return {
            leak
            for folder in Path("/proc").iterdir()
            if folder.name.isdecimal()
            for leak in self.leaks(_command_line(folder), f"the arguments of process {folder.name}")
        }


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:  # it has ended
        return ""


def _spellings(secret: str) -> Iterator[str]:
    """Plain, quoted for a URL and for JSON, in hex, in both base64s, and each of them backwards."""
    quoted, written = quote(secret, safe=""), secret.encode().hex()
    forms = {secret, quoted, re.sub("%..", lambda found: found[0].lower(), quoted), json.dumps(secret)[1:-1]}
    forms |= {written, written.upper(), *_base64(secret)}
    forms |= {form.replace("+", "-").replace("/", "_") for form in _base64(secret)}
    yield from forms
    yield from {form[::-1] for form in forms}


def _base64(secret: str) -> Iterator[str]:
    """The base64 of a text that has this secret in it, at each of the three offsets, without what depends on others."""
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + secret.encode()).decode().rstrip("=")
        yield whole[(0, 2, 3)[offset] : -1]


def _members(text: str) -> Iterator[tuple[str, str]]:
    try:
        pending: list[Any] = [json.loads(text)]
    except ValueError:
        return
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from ((name, member) for name, member in value.items() if isinstance(member, str))
            pending += value.values()
        elif isinstance(value, list):
            pending += value
