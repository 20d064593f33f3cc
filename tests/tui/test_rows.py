"""What to do about an application: the key does what the command beside it does, or there is no key."""

from __future__ import annotations

import pytest

from registrar.status import Row
from registrar.tui.rows import Line, Remedy


def line(hint: str) -> Line:
    row = Row("viewer", "Viewer", "blocked", "declared", "living", "stored", hint=hint)
    return Line("viewer", row, "", "", None, None, None, (), "")


@pytest.mark.parametrize(
    ("hint", "remedy"),
    [
        ("registrar restore viewer, or registrar retire viewer", Remedy("u", "restore it", "restore viewer")),
        (
            "registrar restore viewer (--rotate for a new registration), or remove it from the manifest",
            Remedy("u", "restore it", "restore viewer"),
        ),
        (
            "registrar restore viewer --rotate, or remove it from the manifest",
            Remedy("u", "restore it", "restore viewer --rotate"),
        ),
        ("registrar retire viewer", Remedy("x", "retire it", "retire viewer")),
        ("registrar rotate viewer", Remedy("t", "rotate it", "rotate viewer")),
        (
            "registrar adopt viewer --take-over, or set another path",
            Remedy("o", "adopt it", "adopt viewer --take-over"),
        ),
        (
            "registrar adopt viewer --client-id abc, or rename one of them",
            Remedy("o", "adopt it", "adopt viewer --client-id abc"),
        ),
    ],
)
def test_the_first_command_about_it(hint: str, remedy: Remedy) -> None:
    found = line(hint)
    assert found.remedy == remedy
    assert found.anew == remedy.command.endswith("--rotate")


@pytest.mark.parametrize(
    "hint",
    [
        "set path: old in the manifest, or registrar retire old",
        "registrar retire old",
        "check --target; if the server moved: registrar apply --accept-nexus https://old.example.org",
        "vault kv undelete -versions=2 secret/nexus/viewer, then registrar apply",
        "registrar show viewer",
        "",
    ],
)
def test_no_key_does_what_is_meant(hint: str) -> None:
    assert line(hint).remedy is None
    assert not line(hint).anew
