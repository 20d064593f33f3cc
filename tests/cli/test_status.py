"""`registrar status` as a report: every format of one look, the file that a collector watches, and what is old."""

from __future__ import annotations

import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.manifests import TWO
from tests.cli.program import Program, Result
from tests.cli.services import Services, serving

HERE = ("--manifests", "apps.yaml")


@pytest.fixture(scope="module")
def lab() -> Iterator[Services]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def _applied(lab: Services, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both applications, and somebody has archived one of them."""
    program = Program(tmp_path_factory.mktemp("apply"), lab.environ)
    program.write("apps.yaml", TWO)
    assert program.call("apply", "apps.yaml", "--yes", "--verify").code == 0
    lab.set_archived("Sensor Catalogue")


@pytest.fixture
def applied(lab: Services, _applied: None, tmp_path: Path) -> Program:
    program = Program(tmp_path, lab.environ)
    program.environ["SSL_CERT_FILE"] = "/dev/null"
    program.write("apps.yaml", TWO)
    return program


def gauges(text: str) -> dict[str, int]:
    """The samples by their name, with the state where there is one."""
    found = re.findall(r'^registrar_(\w+)\{target="default",set=""(?:,state="([^"]+)")?\} (\d+)$', text, re.MULTILINE)
    return {f"{name} {state}".strip(): int(value) for name, state, value in found}


def test_every_format_tells_the_same(applied: Program) -> None:
    found = applied.call("status", *HERE, "-o", "json").document
    assert {row["path"]: row["state"] for row in found["rows"]} == {"sensor-catalogue": "blocked", "viewer": "in sync"}
    assert [row["managed"] and row["in_use"] for row in found["rows"]] == [True, True]
    assert found["changed_at"] >= found["rows"][0]["made_at"]
    assert found["seen_at"]

    markdown = applied.call("status", *HERE, "-o", "markdown")
    assert "**1 of 2 applications not in sync.**" in markdown.out
    assert "| blocked | Sensor Catalogue | sensor-catalogue |" in markdown.out
    assert "registrar retire sensor-catalogue` |\n" in markdown.out

    junit = applied.call("status", *HERE, "-o", "junit")
    (failed,) = ET.fromstring(junit.out).iter("failure")
    assert str(failed.text).endswith("registrar retire sensor-catalogue")

    prometheus = applied.call("status", *HERE, "-o", "prometheus")
    told = gauges(prometheus.out)
    assert (told["applications blocked"], told["applications in sync"], told["applications drift"]) == (1, 1, 0)
    assert (told["applications_not_in_sync"], told["applications_managed"], told["credentials"]) == (1, 2, 2)
    for result in (markdown, junit, prometheus):
        assert (result.code, result.err, result.out[-2:] != "\n\n") == (0, "", True)


@pytest.mark.parametrize("output", ["text", "json", "markdown", "junit", "prometheus"])
def test_the_format_never_changes_the_exit_code(applied: Program, output: str) -> None:
    assert applied.call("status", *HERE, "-o", output).code == 0
    assert applied.call("status", *HERE, "-o", output, "--detailed-exitcode").code == 2


def old(result: Result) -> list[str]:
    return [row["path"] for row in result.document["rows"] if row["old"]]


def test_older_than_is_what_rotate_takes_for_old(applied: Program, lab: Services) -> None:
    look = ("status", *HERE, "Digital Twin Viewer", "--detailed-exitcode")
    assert applied.call(*look).code == 0
    young = applied.call(*look, "--older-than", "90d", "-o", "json")
    assert (young.code, old(young), young.document["older_than_s"]) == (0, [], 7_776_000)
    aged = applied.call(*look, "--older-than", "0", "-o", "json")
    assert (aged.code, old(aged)) == (2, ["viewer"])
    text = applied.call(*look, "--older-than", "0").out
    assert re.search(r"\nviewer: its credential is \d+ s old\n  → registrar rotate viewer\n", text)
    assert applied.call("status", *HERE, "--older-than", "0", "-o", "prometheus").out.count("_old") > 0

    before = lab.dump()
    assert "no credential is as old" in applied.call("rotate", "--older-than", "90d", "--yes", *HERE).out
    assert lab.dump() == before
    wrong = applied.call("status", "--older-than", "soon")
    assert wrong.code == 64
    assert "is not a length of time" in wrong.err


def test_ages_are_counted_by_the_clock_of_vault(applied: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred days pass for this program alone, and then for the servers alone, which answer from other threads."""
    clock, here = time.time, threading.current_thread()
    for passes_here, expected in ((True, []), (False, ["sensor-catalogue", "viewer"])):

        def shifted(passes_here: bool = passes_here) -> float:
            return clock() + (100 * 86_400 if (threading.current_thread() is here) is passes_here else 0)

        monkeypatch.setattr(time, "time", shifted)
        assert old(applied.call("status", *HERE, "--older-than", "90d", "-o", "json")) == expected


def test_out_writes_a_file_that_anybody_may_read(applied: Program) -> None:
    result = applied.call("status", *HERE, "-o", "prometheus", "--out", "registrar.prom", "--detailed-exitcode")
    file = applied.folder / "registrar.prom"
    assert (result.code, result.out, result.err) == (2, "", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert gauges(file.read_text())["applications_managed"] == 2
    assert sorted(found.name for found in applied.folder.iterdir()) == ["apps.yaml", "registrar.prom"]
    for output in ("text", "json", "markdown", "junit"):
        again = applied.call("status", *HERE, "-o", output, "--out", "registrar.prom")
        assert (again.code, again.out) == (0, "")
        assert file.read_text().endswith("\n")


def test_after_a_look_that_fails_the_file_before_stays(applied: Program) -> None:
    file = applied.write("registrar.prom", "before")
    applied.environ["VAULT_TOKEN"] = "nobody's"
    failed = applied.call("status", *HERE, "-o", "prometheus", "--out", "registrar.prom")
    assert (failed.code, failed.out, file.read_text()) == (3, "", "before")
    assert "the file before stays" in " ".join(applied.call("status", "--help").out.split())


def test_what_cannot_be_written_is_said_before_anything_is_asked(program: Program) -> None:
    for name, why in (("none/registrar.prom", "cannot be written: there is no such folder"), (".", "is a folder")):
        refused = program.call("status", "-o", "prometheus", "--out", name)
        assert refused.code == 64
        assert f"{name} {why}" in refused.err


def test_metrics_are_of_a_whole_target(program: Program) -> None:
    refused = program.call("status", "viewer", "-o", "prometheus")
    assert (refused.code, refused.out) == (64, "")
    assert "leave NAME out" in refused.err
