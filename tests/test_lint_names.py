"""Names that look alike, as Unicode knows them."""

from __future__ import annotations

import string

import pytest
from confusable_homoglyphs.confusables import confusables_data
from hypothesis import given, settings
from hypothesis import strategies as st

from registrar import lint
from registrar.lint import Entry, Level
from registrar.lint.lookalikes import mixed_scripts, skeleton
from registrar.model import Application, Target


def warned(*names: str) -> list[tuple[str, Level, str]]:
    entries = [
        Entry(
            Application(
                path=f"app-{number}",
                name=name,
                redirect_uri=f"https://viewer.example.org/{number}/cb",
                owner_email="team@example.org",
            )
        )
        for number, name in enumerate(names)
    ]
    return [(found.rule, found.level, found.message) for found in lint.check(entries, Target("dev", "", "", ""))]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Viewer", "V\u0456ewer"),  # Cyrillic i
        ("V\u0456ewer", "Viewer"),
        ("Model 10", "Model 1O"),
        ("Mail", "Mai1"),
        ("Viewer", "Viewe\u1d26"),  # Greek, small capital gamma
        ("Digital Twin", "Digital  Twin"),
        ("Modern", "Modem"),
        ("\u0440\u0430\u0443", "pay"),
    ],
)
def test_names_that_imitate(name: str, other: str) -> None:
    imitates = ("AP005", Level.WARNING, "the name looks like that of the application at :0:0")
    assert warned(name, other) == [imitates]


@pytest.mark.parametrize(
    ("name", "other"), [("Viewer", "Viewers"), ("Fall", "Fail"), ("Caf\u00e9", "Cafe"), ("A 1", "A 2")]
)
def test_names_that_do_not_imitate(name: str, other: str) -> None:
    assert warned(name, other) == []


def test_the_lookalikes_within_ascii_are_those_of_unicode() -> None:
    def like(one: str) -> set[str]:
        return {str(other["c"]) for other in confusables_data.get(one, ())}

    letters = [one for one in f"{string.ascii_letters}{string.digits}|" if one not in "Ol"]
    known = {one: other for one in letters for other in like(one) & {"O", "l", "rn"}}
    assert known == {"0": "O", "1": "l", "I": "l", "|": "l", "m": "rn"}
    for one, other in known.items():
        assert skeleton(one) == skeleton(other)


@settings(deadline=None)  # the first name that is not ASCII has Unicode's tables read
@given(st.text(max_size=20))
def test_a_skeleton_is_stable_and_blind_to_what_surrounds(name: str) -> None:
    assert skeleton(f"  {name}\t") == skeleton(name)
    assert skeleton(name) == skeleton(name.replace("a", "\u0430").replace("o", "\u043e"))


@pytest.mark.parametrize(
    ("label", "scripts"),
    [
        ("p\u0430ypal", "Cyrillic and Latin"),
        ("\u03b1\u0430", "Cyrillic and Greek"),
        ("viewer-1", ""),
        ("\u043f\u0440\u0438\u0432\u0435\u0442", ""),
        ("\u6771\u4eac\u30bf\u30ef\u30fc\u306e\u65c5x", ""),
        ("\u6771\u043f", "Cyrillic and Han"),
    ],
)
def test_scripts_that_no_word_mixes(label: str, scripts: str) -> None:
    assert mixed_scripts(label) == scripts
