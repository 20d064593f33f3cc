"""Amending a manifest: what is asked for is changed and nothing else is, alike with both of PyYAML's parsers."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from registrar import amend, document, export, manifest, spelling
from registrar.errors import UsageError
from registrar.model import Application, Target
from registrar.spelling import KEYS

A = {"name": "A", "redirect_uri": "https://a.example.org/cb"}


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def parser(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "_LOADER", getattr(yaml, request.param))
        patch.setattr(spelling, "_LOADER", getattr(yaml, request.param))
        yield


def change(text: str, line: int, target: str = "dev", **values: str | bool | None) -> str:
    return amend.change(text, line, target, values)


def read(text: str) -> Any:
    return yaml.load(text, Loader=spelling._LOADER)


def refused(text: str, line: int, target: str = "dev", **values: str | bool | None) -> str:
    """The message and the hint with which that is refused."""
    with pytest.raises(UsageError) as caught:
        change(text, line, target, **values)
    return f"{caught.value.message} | {caught.value.hint}"


# ── change: the places ────────────────────────────────────────────────────────────────────────────────────────────────

BLOCK = """\
# The applications of one team.
apps:
  - name: Viewer  # seen by users
    redirect_uri: 'https://viewer.example.org/cb'
    # Ask before changing this.

    path: "viewer"   # an identity
    targets:
      # their own machines
      dev:
        redirect_uri: http://127.0.0.1/cb  # loopback
        base_url: http://127.0.0.1
      test: {redirect_uri: "https://test.example.org/cb", base_url: x}
      prod: false

  - name: Other
    redirect_uri: https://other.example.org/cb
"""

CHANGES: dict[str, tuple[int, str, dict[str, str | bool | None], list[tuple[str, str]]]] = {
    "the comment stays": (3, "dev", {"name": "Seer"}, [("name: Viewer  # seen", "name: Seer  # seen")]),
    "single quotes stay": (
        3,
        "x",
        {"redirect_uri": "https://it's"},
        [("'https://viewer.example.org/cb'", "'https://it''s'")],
    ),
    "double quotes stay": (3, "dev", {"path": "seer"}, [('"viewer"', '"seer"')]),
    "in the block of a target": (
        3,
        "dev",
        {"redirect_uri": "http://localhost/cb"},
        [("http://127.0.0.1/cb  #", "http://localhost/cb  #")],
    ),
    "in the braces of a target": (3, "test", {"base_url": "a, b"}, [("base_url: x}", 'base_url: "a, b"}')]),
    "a new key after the nearest before it": (
        3,
        "dev",
        {"description": "Models", "owner_email": "a@b.c"},
        [("example.org/cb'\n", "example.org/cb'\n    owner_email: a@b.c\n    description: Models\n")],
    ),
    "a new key is one of the entry": (
        3,
        "test",
        {"protected": True},
        [("# an identity\n", "# an identity\n    protected: true\n")],
    ),
    "at the end": (
        16,
        "dev",
        {"protected": False},
        [("other.example.org/cb\n", "other.example.org/cb\n    protected: false\n")],
    ),
    "a removed key takes its comment along": (3, "dev", {"path": None}, [('    path: "viewer"   # an identity\n', "")]),
    "only the difference is removed": (
        3,
        "dev",
        {"redirect_uri": None},
        [("        redirect_uri: http://127.0.0.1/cb  # loopback\n", "")],
    ),
    "the last difference takes its target along": (
        3,
        "dev",
        {"redirect_uri": None, "base_url": None},
        [
            ("      dev:\n", ""),
            ("        redirect_uri: http://127.0.0.1/cb  # loopback\n", ""),
            ("        base_url: http://127.0.0.1\n", ""),
        ],
    ),
    "the first in braces": (3, "test", {"redirect_uri": None}, [('redirect_uri: "https://test.example.org/cb", ', "")]),
    "the last in braces": (3, "test", {"base_url": None}, [(", base_url: x}", "}")]),
    "what is not there is not removed": (3, "dev", {"protected": None, "description": None}, []),
    "what is there is not written": (3, "dev", {"name": "Viewer", "redirect_uri": "http://127.0.0.1/cb"}, []),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("case", CHANGES)
def test_an_entry_is_changed_in_its_place(case: str, bom: str, end: str) -> None:
    line, target, values, replaced = CHANGES[case]
    wanted = BLOCK
    for old, new in replaced:
        assert wanted.count(old) == 1
        wanted = wanted.replace(old, new)
    changed = amend.change(bom + BLOCK.replace("\n", end), line, target, values)
    assert changed == bom + wanted.replace("\n", end)


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        pytest.param("- {name: A, redirect_uri: b}", {"name": "C"}, "- {name: C, redirect_uri: b}", id="braces"),
        pytest.param(
            "- {name: A, redirect_uri: b} # c",
            {"base_url": "https://c", "path": "d"},
            '- {name: A, redirect_uri: b, base_url: "https://c", path: d} # c',
            id="new in braces",
        ),
        pytest.param("- {name: A, path: b, redirect_uri: c}", {"path": None}, "- {name: A, redirect_uri: c}", id="out"),
        pytest.param(
            "- {\n    name: A, # a\n    path: b, # b\n    redirect_uri: c # c\n  }",
            {"path": None, "description": "d"},
            "- {\n    name: A, # a\n    redirect_uri: c, # c\n    description: d\n  }",
            id="braces over several lines",
        ),
        pytest.param(
            "- {redirect_uri: a,\n   path: b, name: c}", {"path": None}, "- {redirect_uri: a,\n   name: c}", id="line"
        ),
        pytest.param(
            "- {redirect_uri: a, # a\n   name: c, path: b}",
            {"path": None},
            "- {redirect_uri: a, # a\n   name: c}",
            id="l",
        ),
        pytest.param(
            "- {redirect_uri: a, name: c, # c\n   path: b}",
            {"path": None},
            "- {redirect_uri: a, name: c, # c\n   }",
            id="m",
        ),
        pytest.param(
            "- path: a # p\n  name: b\n  redirect_uri: c", {"path": None}, "- name: b\n  redirect_uri: c", id="dash"
        ),
        pytest.param(
            "- path: a # p\n  # n\n  name: b\n  redirect_uri: c",
            {"path": None},
            "-\n  # n\n  name: b\n  redirect_uri: c",
            id="dash alone",
        ),
        pytest.param(
            "-\n  path: a\n  redirect_uri: c\n  name: d\n",
            {"path": None},
            "-\n  redirect_uri: c\n  name: d\n",
            id="below",
        ),
        pytest.param(
            "- path: a\n  redirect_uri: b\n", {"name": "c"}, "- name: c\n  path: a\n  redirect_uri: b\n", id="new first"
        ),
        pytest.param("- {path: a}", {"name": "c"}, "- {name: c, path: a}", id="new first in braces"),
        pytest.param("- {}", {"name": "c"}, "- {name: c}", id="no braces are too empty"),
        pytest.param("- name:  # c\n  path:", {"name": "a", "path": "b"}, "- name: a  # c\n  path: b", id="no value"),
        pytest.param("- {name: , path: }", {"name": "a", "path": "b"}, "- {name: a , path: b }", id="none in braces"),
        pytest.param("- {path:   # c\n  }", {"path": "b"}, "- {path: b   # c\n  }", id="none before a comment"),
        pytest.param(
            "- name: a\n    b\n  path: c",
            {"name": "d", "base_url": ""},
            '- name: d\n  base_url: ""\n  path: c',
            id="plain",
        ),
        pytest.param("- name:\n    a\n  path: c", {"name": "d", "path": None}, "- name:\n    d", id="on the next line"),
        pytest.param('- name: "a\n    b"  # c\n', {"name": "d"}, '- name: "d"  # c\n', id="quoted over lines"),
        pytest.param(
            "- description: | # c\n    a\n    b\n\n    c\n\n  name: d",
            {"description": "e"},
            "- description: e # c\n\n  name: d",
            id="block scalar",
        ),
        pytest.param(
            "- name: d\n  description: >-\n    a\n    b\n\n- name: e",
            {"description": None},
            "- name: d\n\n- name: e",
            id="block scalar out",
        ),
        pytest.param(
            "- name: d\n  description: |+\n    a\n\n- name: e",
            {"path": "p"},
            "- name: d\n  description: |+\n    a\n\n  path: p\n- name: e",
            id="after what keeps its blank lines",
        ),
        pytest.param(
            "- name: d\n  description: |\n    a\n\n- name: e",
            {"path": "p"},
            "- name: d\n  description: |\n    a\n  path: p\n\n- name: e",
            id="after what does not",
        ),
        pytest.param("- name: 12", {"name": "12"}, '- name: "12"', id="a number is no string"),
        pytest.param("- {protected: yes}", {"protected": True}, "- {protected: true}", id="yes is no boolean to 1.2"),
        pytest.param("- protected: 'true'", {"protected": True}, "- protected: true", id="nor is a string"),
        pytest.param("- protected: True", {"protected": True}, "- protected: True", id="but True is"),
        pytest.param('- "name": A', {"name": "B"}, '- "name": B', id="quoted key"),
        pytest.param("- name: A", {"path": "b"}, "- name: A\n  path: b", id="no line break at the end"),
        pytest.param("- name: A\n  path: b", {"path": None}, "- name: A", id="none at the end after either"),
        pytest.param(
            "-   name: é😀 # ü\n    path: b", {"name": "ß"}, "-   name: ß # ü\n    path: b", id="marks count characters"
        ),
        pytest.param(
            "- name: a\n  targets: {dev: {path: b}}",
            {"path": None},
            "- name: a",
            id="the last target takes them all along",
        ),
    ],
)
def test_an_entry_may_look_in_many_ways(before: str, values: Mapping[str, str | bool], after: str) -> None:
    head = "---\n# é\napps:\n"
    line = 5 if before.startswith("-\n") else 4
    assert amend.change(head + before, line, "dev", values) == head + after


@pytest.mark.parametrize(
    ("line", "values", "told"),
    [
        ("name: &a A\n    path: *a", {"name": "B"}, "name has an anchor | edit it by hand: line 2"),
        ("name: &a A\n    path: *a", {"path": "b"}, "path has an alias | edit it by hand: line 2"),
        ("name: !!str A", {"name": "B"}, "name has a tag | edit it by hand: line 2"),
        ("&a name: A", {"path": "b"}, "what path stands in has an anchor | edit it by hand: line 2"),
        ("name: A\n    name: B", {"path": "b"}, "the key `name` is written twice | edit it by hand: line 3"),
        ("name: A\n    <<: {path: c}", {"path": "b"}, "a merge key `<<` is not read here | edit it by hand: line 3"),
        ("name: A\n    path: [a]", {"path": "b"}, "path is not a single value | edit it by hand: line 2"),
        ("? path\n    : a\n    name: b", {"path": None}, "without changing something else | edit it by hand: line 2"),
        ("name: A\n    [a]: b", {"path": "b"}, "a key of the application is not a string | edit it by hand: line 3"),
        ("name: A\n    targets: []", {"path": "b"}, "`targets` is not a mapping | edit it by hand: line 3"),
        ("name: A\n    targets: {dev: }", {"path": "b"}, "target `dev` of the application is not a mapping | edit"),
        ("name: A\n    targets: {dev: false}", {"path": "b"}, "the application is not there on target `dev` | edit"),
        ("name: A", {"name": None}, "an application needs its name | change the name, or remove the entry"),
        ("name: A", {"path": "\ud800"}, "half a surrogate pair is no character | leave it out"),
        ("name: A\n    path: 'b", {"path": "c"}, "this cannot be edited safely: this is not YAML"),
        (
            "name: A\n    path: *b",
            {"path": "c"},
            "an alias may stand for a single value only | edit it by hand: line 3",
        ),
        ("{name: A}\n  - b: *b", {"name": "c"}, "edit it by hand: line 3"),
        ("name: A\n---\napps: []", {"name": "c"}, "a second document begins here | edit it by hand: line 3"),
        (
            "name: A\n    description: |\n      a",
            {"path": "c"},
            "without changing something else | edit it by hand: line 2",
        ),
        ("{name}", {"name": "c"}, "edit it by hand: line 2"),
        ("[{name: A}]", {"name": "c"}, "the application is not a mapping | edit it by hand: line 2"),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(line: str, values: dict[str, str | bool | None], told: str) -> None:
    assert told in refused(f"apps:\n  - {line}", 2, "dev", **values)


def test_an_entry_is_found_by_its_line_alone() -> None:
    assert "no application begins there" in refused(BLOCK, 4, name="B")
    assert "no application begins there" in refused("", 1, name="B")
    assert "no application begins there" in refused("apps: {}\n", 1, name="B")
    assert "several applications" in refused("apps: [{name: A}, {name: B}]\n", 1, name="C")


def test_a_huge_value_is_refused_like_the_file_it_would_make() -> None:
    assert "larger than 4 MiB" in refused(BLOCK, 3, description="x" * document.SIZE_LIMIT_BYTES)


def test_where_a_value_stands_is_told() -> None:
    told = amend.written(BLOCK, 3)
    assert told.base == {"name": "Viewer", "redirect_uri": "https://viewer.example.org/cb", "path": "viewer"}
    assert list(told.base) == ["name", "redirect_uri", "path"]
    assert told.own("dev") == {"redirect_uri": "http://127.0.0.1/cb", "base_url": "http://127.0.0.1"}
    assert told.targets["prod"] is None
    assert told.own("prod") == told.own("elsewhere") == {}


# ── what is one target's alone ────────────────────────────────────────────────────────────────────────────────────────

OWN: dict[str, tuple[str, str, str]] = {
    "the first difference there is": (
        "apps:\n  - name: A  # one\n    redirect_uri: https://a.example.org/cb\n    # last\n  - name: B\n",
        "dev",
        (
            "apps:\n  - name: A  # one\n    redirect_uri: https://a.example.org/cb\n    targets:\n      dev:\n"
            "        redirect_uri: https://x.example.org/cb\n    # last\n  - name: B\n"
        ),
    ),
    "a target that had none": (
        "apps:\n- name: A\n  redirect_uri: https://a.example.org/cb\n  targets:\n    prod: false # no\n  path: a\n",
        "dev",
        (
            "apps:\n- name: A\n  redirect_uri: https://a.example.org/cb\n  targets:\n    prod: false # no\n    dev:\n"
            "      redirect_uri: https://x.example.org/cb\n  path: a\n"
        ),
    ),
    "one more of a target": (
        "apps:\n- name: A\n  redirect_uri: https://a.example.org/cb\n  targets:\n    dev:\n      base_url: y\n",
        "dev",
        (
            "apps:\n- name: A\n  redirect_uri: https://a.example.org/cb\n  targets:\n    dev:\n"
            "      redirect_uri: https://x.example.org/cb\n      base_url: y\n"
        ),
    ),
    "in braces": (
        'apps: [{name: A, redirect_uri: "https://a.example.org/cb"}]\n',
        "on",
        (
            'apps: [{name: A, redirect_uri: "https://a.example.org/cb", '
            'targets: {"on": {redirect_uri: "https://x.example.org/cb"}}}]\n'
        ),
    ),
}


@pytest.mark.parametrize("case", OWN)
def test_a_value_becomes_one_targets_alone_and_everybodys_again(case: str) -> None:
    before, target, after = OWN[case]
    line = 1 if case == "in braces" else 2
    values = {"redirect_uri": "https://x.example.org/cb"}
    changed = amend.change(before, line, target, values, own={"redirect_uri"})
    assert changed == after
    back = amend.change(changed, line, target, {"redirect_uri": "https://a.example.org/cb"}, own=())
    assert read(back) == read(before)
    everybody = amend.change(changed, line, target, values, own=())
    assert amend.written(everybody, line).base["redirect_uri"] == "https://x.example.org/cb"
    assert "redirect_uri" not in amend.written(everybody, line).own(target)


def test_a_difference_without_a_value_is_none() -> None:
    before = OWN["in braces"][0]
    assert amend.change(before, 1, "dev", {"base_url": None}, own={"base_url"}) == before


# ── create ────────────────────────────────────────────────────────────────────────────────────────────────────────────

NEW = "- name: A\n  redirect_uri: https://a.example.org/cb\n"
FLOW = '{name: A, redirect_uri: "https://a.example.org/cb"}'


def indented(columns: int) -> str:
    return "".join(" " * columns + line for line in NEW.splitlines(keepends=True))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", "apps:\n" + indented(2), id="nothing"),
        pytest.param("# c\n", "# c\napps:\n" + indented(2), id="comments"),
        pytest.param("# c", "# c\napps:\n" + indented(2), id="a comment without an end"),
        pytest.param("# c\n---\n# d\n", "# c\n---\n# d\napps:\n" + indented(2), id="an empty document"),
        pytest.param("apps: []\n", "apps:\n" + indented(2), id="an empty list"),
        pytest.param(
            "apps: [ ]  # none\n# c", "apps:  # none\n" + indented(2) + "# c", id="an empty list and comments"
        ),
        pytest.param("apps:", "apps:\n" + indented(2)[:-1], id="no list and no line break"),
        pytest.param("apps:  # c\n  # d\n\n# e\n", "apps:  # c\n  # d\n" + indented(2) + "\n# e\n", id="no list"),
        pytest.param("apps: [ # c\n]\n", f"apps: [{FLOW} # c\n]\n", id="a comment in the list"),
        pytest.param("{apps: []}", f"{{apps: [{FLOW}]}}", id="braces"),
        pytest.param("{apps: }", f"{{apps:  [{FLOW}]}}"[:7] + f"[{FLOW}] }}", id="braces and no list"),
        pytest.param("apps: [{name: B}]\n", f"apps: [{{name: B}}, {FLOW}]\n", id="brackets"),
        pytest.param(
            "apps: [\n  {name: B} # b\n  ]\n", f"apps: [\n  {{name: B}}, # b\n  {FLOW}\n  ]\n", id="brackets over lines"
        ),
        pytest.param("apps:\n- name: B\n", "apps:\n- name: B\n" + NEW, id="not indented"),
        pytest.param("apps:\n- name: B", "apps:\n- name: B\n" + NEW[:-1], id="not indented, no line break"),
        pytest.param("apps:\n    - name: B\n", "apps:\n    - name: B\n" + indented(4), id="indented further"),
        pytest.param("apps:\n  - {name: B}\n", f"apps:\n  - {{name: B}}\n  - {FLOW}\n", id="each in braces"),
        pytest.param(
            "apps:\n-   name: B\n",
            "apps:\n-   name: B\n" + NEW.replace("- ", "-   ").replace("  r", "    r"),
            id="wide",
        ),
        pytest.param("apps:\n  -\n    name: B\n", "apps:\n  -\n    name: B\n" + indented(2), id="below the dash"),
        pytest.param(
            "apps:\n  - name: B\n\n  # c\n  - name: C\n    # path: c\n\n# d\n",
            "apps:\n  - name: B\n\n  # c\n  - name: C\n    # path: c\n\n" + indented(2) + "\n# d\n",
            id="blank lines between them and comments after",
        ),
        pytest.param(
            "apps:\n  - name: B\n    description: |\n      b\n\n\n",
            "apps:\n  - name: B\n    description: |\n      b\n" + indented(2) + "\n\n",
            id="after a block scalar",
        ),
        pytest.param(
            "---\napps:\n- name: B\n...\n", "---\napps:\n- name: B\n" + NEW + "...\n", id="an end that is marked"
        ),
    ],
)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_entry_is_put_at_the_end_of_the_list(before: str, after: str, bom: str, end: str) -> None:
    if "\n" not in before:
        end = "\n"
    assert amend.create(bom + before.replace("\n", end), A) == bom + after.replace("\n", end)


def test_a_new_manifest_is_read_as_it_was_meant() -> None:
    values: dict[str, str | bool] = {
        **A,
        "base_url": "",
        "owner_email": "a@example.org",
        "description": "Two lines,\nand a # that is no comment",
        "path": "lab/a",
        "protected": True,
    }
    text = amend.create("", {key: values[key] for key in reversed(list(values))})
    loaded = manifest.load([Path("-")], Target("dev", "", "", ""), stdin=text.encode())
    assert loaded.errors == ()
    assert loaded.applications == (Application(**values, source="<stdin>:2:5"),)  # type: ignore[arg-type]
    assert [line[4:].partition(":")[0] for line in text.splitlines()[1:]] == list(values)
    assert 'base_url: ""\n' in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("apps: ~\n", "a manifest has a list `apps`, and here is none | edit it by hand: line 1"),
        ("other: 1\n", "a manifest has a list `apps`, and here is none | edit it by hand: line 1"),
        ("- name: B\n", "a manifest is not a mapping | edit it by hand: line 1"),
        ("apps: []\napps: []\n", "the key `apps` is written twice | edit it by hand: line 2"),
        ("apps: &a []\n", "the list `apps` has an anchor | edit it by hand: line 1"),
        ("--- !!map\napps: []\n", "what `apps` stands in has a tag | edit it by hand: line 1"),
        ("apps: [\n", "this cannot be edited safely: this is not YAML"),
        ("---\n...\n", "written, it could not be read back"),
        ("# \x01", "could not be read back: this cannot be edited safely: the character U+0001 is not allowed"),
        ("apps:\n  - name: |\n      B", "this cannot be written without changing something else"),
    ],
)
def test_where_no_entry_can_be_put_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        amend.create(text, A)
    assert told in f"{caught.value.message} | {caught.value.hint}"


def test_an_entry_needs_what_every_application_needs() -> None:
    with pytest.raises(UsageError, match="an application has no redirect_uri"):
        amend.create("", {"name": "A"})


# ── values ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PLAIN = [
    "Viewer",
    "3-D viewer of plant models",
    "https://a.example.org/cb?x=1#y",
    'it\'s "quoted"',
    "Übersicht 漢字",
    "a/b",
]
QUOTED = [
    "", " a", "a ", "a: b", "a #b", "a:", "#a", "- a", "-a", "? a", "@a", "%a", "`a", "&a", "*a", "!a", "|", ">",
    "'a", '"a', "{{ a }}", "a {{ b }}", "[a]", "true", "Yes", "off", "y", "N", "null", "Null", "~", "12", "1_000",
    "0o17", "0x1F", "1e3", "+1.5", ".5", "-.inf", ".NaN", "12:30:45", "2001-12-14", "2001-12-14 21:59:43", "=", "<<",
    "---", "...", "a\nb", "a\tb", "a\r\n", "\x00", "\x07", "\x85", "\xa0a", "a\u2028b", "\u202ea", "\ufeffa",
    "\ufffe", "\U000e0001", "\\n",
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN + QUOTED)
def test_a_value_is_read_back_as_that_string(value: str) -> None:
    for before in ("- name: B\n", "- {name: B}\n", "- name: 'B'\n", '- name: "B"\n', "- name: |\n    B\n", "- name:\n"):
        text = change("apps:\n" + before, 2, name=value)
        assert read(text) == {"apps": [{"name": value}]}
        assert text.isprintable() or text.replace("\n", "").isprintable()
    assert change("apps:\n- name: B\n", 2, name=value) == (
        f"apps:\n- name: {value}\n" if value in PLAIN else f"apps:\n- name: {export.scalar(value)}\n"
    )


# ── any manifest, any value ───────────────────────────────────────────────────────────────────────────────────────────

ODD = st.one_of(st.sampled_from(PLAIN + QUOTED), st.text(max_size=12))
FIELD: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(KEYS[:-1], ODD) | {"protected": st.booleans()}


class Line(NamedTuple):
    """A line of a manifest, and what it says: the number of the entry, a target if any, a key."""

    text: str
    says: tuple[int, str, str] | None = None


@st.composite
def scalars(draw: st.DrawFn, value: str | bool) -> str:
    """A value in one of the ways in which it can be written."""
    if isinstance(value, bool):
        return draw(st.sampled_from([str(value), str(value).lower()]))
    ways = [json.dumps(value)] if value.isascii() and "\x7f" not in value else [export.scalar(value)]
    if value.isprintable():
        ways.append("'" + value.replace("'", "''") + "'")
    return draw(st.sampled_from([*ways, *([value] if value.isascii() and value.isalpha() and len(value) > 5 else [])]))


@st.composite
def fields(draw: st.DrawFn, least: tuple[str, ...] = ()) -> list[tuple[str, Any, str]]:
    """Keys in any order, each with its value and how it is written."""
    keys = draw(st.permutations([key for key in KEYS if key in least or draw(st.booleans())]))
    found = []
    for key in keys:
        value = draw(FIELD[key])
        found.append((key, value, draw(scalars(value))))
    return found


def braces(found: list[tuple[str, Any, str]]) -> str:
    return "{" + ", ".join(f"{key}: {text}" for key, _, text in found) + "}"


@st.composite
def entries(draw: st.DrawFn, number: int, indent: str) -> list[Line]:
    """The lines of an entry, with comments, in either style."""
    comment = st.sampled_from(["", " # c", "   #c: 'd"])
    own = draw(fields(("name", "redirect_uri")))
    targets = [(name, draw(fields())) for name in ("dev", "test") if draw(st.booleans())]
    targets = [(name, found) for name, found in targets if found]

    lines: list[Line] = []
    if draw(st.booleans()):
        rest = "targets: {" + ", ".join(f"{name}: {braces(found)}" for name, found in targets) + "}"
        text = braces(own) if not targets else braces(own)[:-1] + ", " + rest + "}"
        return [Line(f"{indent}- {text}{draw(comment)}", (number, "*", "*"))]
    for key, _, text in own:
        if draw(st.booleans()) and lines:
            lines.append(Line(draw(st.sampled_from(["", f"{indent}  # about {key}", "# c"]))))
        lead = "  " if lines else "- "
        lines.append(Line(f"{indent}{lead}{key}: {text}{draw(comment)}", (number, "", key)))
    if targets:
        lines.append(Line(f"{indent}  targets:{draw(comment)}", (number, "", "targets")))
    for name, found in targets:
        if draw(st.booleans()):
            lines.append(Line(f"{indent}    {name}: {braces(found)}{draw(comment)}", (number, name, "*")))
            continue
        lines.append(Line(f"{indent}    {name}:", (number, name, "")))
        lines += [Line(f"{indent}      {key}: {text}{draw(comment)}", (number, name, key)) for key, _, text in found]
    return lines


@st.composite
def manifests(draw: st.DrawFn) -> tuple[list[Line], str, str]:
    """The lines of a manifest with one to three entries, and what is between the lines and after the last."""
    indent, blank = draw(st.sampled_from(["", "  ", "    "])), draw(st.booleans())
    lines = [Line(line) for line in draw(st.sampled_from([[], ["---"], ["# é😀"], ["# c", "", "---"]]))] + [
        Line("apps:")
    ]
    for number in range(draw(st.integers(1, 3))):
        lines += [Line("")] * (blank and number > 0) + draw(entries(number, indent))
    lines += [Line(line) for line in draw(st.sampled_from([[], ["# end"], [""], ["      # end", ""]]))]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return lines, end, draw(st.sampled_from(["", end]))


def joined(lines: list[Line], end: str, last: str) -> str:
    return end.join(line.text for line in lines) + last


def begins(text: str, index: int) -> int:
    """The line at which an entry begins."""
    root: Any = yaml.compose(text, Loader=spelling._LOADER)
    return int(root.value[0][1].value[index].start_mark.line) + 1


def amended(data: Any, index: int, target: str, values: Mapping[str, str | bool | None]) -> Any:
    """What a manifest should say when that has been changed."""
    data = copy.deepcopy(data)
    entry = data["apps"][index]
    for key, value in values.items():
        targets = entry.get("targets", {})
        holder = targets.get(target, {}) if key in targets.get(target, {}) else entry
        holder[key] = value
        if value is None:
            del holder[key]
        if not targets.get(target, True):
            del targets[target]
        if not entry.get("targets", True):
            del entry["targets"]
    return data


def kept(lines: list[Line], text: str, end: str, changed: set[tuple[int, str, str]]) -> None:
    """All lines but the changed ones are in this text, in their order; the first key's dash may move to the next."""
    assert end == "\n" or "\n" not in text.replace("\r\n", "")
    left = [undashed(line.text) for line in lines if line.says not in changed]
    rest = map(undashed, text.split(end))
    assert all(line in rest for line in left)


def undashed(line: str) -> str:
    return re.sub(r"^( *)- ", r"\1  ", line)


CALM = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@CALM
@given(st.data())
def test_any_change_is_that_change_alone_and_can_be_undone(data: st.DataObject) -> None:
    lines, end, last = data.draw(manifests())
    text = joined(lines, end, last)
    before = read(text)
    index = data.draw(st.integers(0, len(before["apps"]) - 1))
    target = data.draw(st.sampled_from(["dev", "prod"]))
    entry = before["apps"][index]
    own = entry.get("targets", {}).get(target, {})
    values: dict[str, Any] = {}
    for key in KEYS:
        if data.draw(st.booleans()):
            needed = key in own or key in ("name", "redirect_uri")
            values[key] = data.draw(FIELD[key] if needed else st.none() | FIELD[key])
    after = amend.change(text, begins(text, index), target, values)
    assert read(after) == amended(before, index, target, values)
    holders = {key: target if key in own else "" for key in values}
    changed = {(index, holder, key) for key, holder in holders.items()} | {(index, "*", "*")}
    kept(lines, after, end, changed | {(index, holder, "*") for holder in holders.values()})
    old = {key: own.get(key, entry.get(key)) for key in values}
    assert read(amend.change(after, begins(after, index), target, old)) == before


@CALM
@given(manifests(), st.integers(0, 2), st.sampled_from(["dev", "prod"]))
def test_what_is_written_already_leaves_the_text_as_it_is(found: Any, number: int, target: str) -> None:
    text = joined(*found)
    apps = read(text)["apps"]
    index = number % len(apps)
    values = {**apps[index], **apps[index].get("targets", {}).get(target, {})}
    values = {key: values.get(key) for key in KEYS}
    assert amend.change(text, begins(text, index), target, values) == text
    told = amend.written(text, begins(text, index))
    assert {**told.base, **told.own(target)} == {key: value for key, value in values.items() if value is not None}


@CALM
@given(manifests(), st.integers(0, 2), st.sampled_from(["dev", "test"]), st.sets(st.sampled_from(KEYS)), st.data())
def test_any_key_can_be_one_targets_alone(
    found: Any, number: int, target: str, keys: set[str], data: st.DataObject
) -> None:
    lines, end, last = found
    text = joined(lines, end, last)
    before = read(text)
    index = number % len(before["apps"])
    entry = before["apps"][index]
    values: dict[str, Any] = {key: data.draw(FIELD[key]) for key in KEYS if key in keys}
    own = {*keys, *entry.get("targets", {}).get(target, {})}
    after = amend.change(text, begins(text, index), target, values, own=own)
    wanted = copy.deepcopy(before)
    if values:
        wanted["apps"][index].setdefault("targets", {}).setdefault(target, {}).update(values)
    assert read(after) == wanted
    holder = entry.get("targets", {}).get(target, {})
    changed = {(index, target, key) for key in values} | {(index, "*", "*"), (index, target, "*")}
    kept(lines, after, end, changed | ({(index, "", "targets")} if not holder else set()))


@CALM
@given(manifests(), st.integers(0, 2), st.sets(st.sampled_from(KEYS)))
def test_any_difference_can_be_removed(found: Any, number: int, keys: set[str]) -> None:
    lines, end, last = found
    text = joined(lines, end, last)
    before = read(text)
    index = number % len(before["apps"])
    own = before["apps"][index].get("targets", {}).get("dev", {})
    values: dict[str, str | bool | None] = {key: None for key in KEYS if key in keys and key in own}
    after = amend.change(text, begins(text, index), "dev", values)
    assert read(after) == amended(before, index, "dev", values)
    gone = {(index, "dev", key) for key in [*values, "", "*"]} | {(index, "*", "*"), (index, "", "targets")}
    kept(lines, after, end, gone)


@CALM
@given(manifests(), ODD, ODD, st.dictionaries(st.sampled_from(KEYS[2:-1]), ODD), st.none() | st.booleans())
@example(([Line("apps:"), Line("- name: B")], "\r\n", ""), "a", "b", {}, None)
def test_any_new_entry_is_the_last_and_all_else_stays(
    found: Any, name: str, uri: str, more: dict[str, str], protected: bool | None
) -> None:
    lines, end, last = found
    text = joined(lines, end, last)
    values: dict[str, str | bool] = {"name": name, "redirect_uri": uri, **more}
    values |= {} if protected is None else {"protected": protected}
    after = amend.create(text, values)
    before = read(text)
    assert read(after) == {"apps": [*before["apps"], values]}
    kept(lines, after, end, set())
    at = next(number for number in range(len(text) + 1) if number == len(text) or text[number] != after[number])
    added = len(after) - len(text)
    assert any(after[:i] + after[i + added :] == text for i in range(at + 1))


@example("n|}:")
@given(st.text(st.sampled_from("apps:-[]{},'\"#|>&*!? \n\tne"), max_size=40))
@settings(CALM, max_examples=80)
def test_any_text_is_amended_or_refused_with_a_hint(text: str) -> None:
    for head in ("", "apps:\n- name: A\n", "apps:\n- {name: A, "):
        try:
            after = amend.create(head + text, A)
            assert read(after)["apps"][-1] == A
            after = amend.change(head + text, 2, "dev", {"path": "b"})
            assert read(after)["apps"][0]["path"] == "b"
        except UsageError as error:
            assert error.message
            assert "edit it by hand: line " in error.hint
        except yaml.constructor.ConstructorError:
            with pytest.raises(yaml.constructor.ConstructorError):  # a mapping as a key, there from the beginning
                read(head + text)
