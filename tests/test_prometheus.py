"""The gauges of a target, read back as the text exposition format says; and the file that a collector watches."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar import atomic
from registrar.errors import UsageError
from registrar.model import Target
from registrar.prometheus import status_prometheus
from registrar.status import STATES, Row, Status

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
TARGET = Target("lab", "https://nexus.example.org", "", "https://vault.example.org", set="plant")
WELL = Row("viewer", "Viewer", "in sync", "declared", "living", "stored", managed=True, in_use=True, age_s=60)
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|\Z)')
LABELS = st.text(st.sampled_from('\\"\nn{}, #é\x1b'), max_size=9)
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}

Samples = dict[tuple[str, str], float]


def labels(text: str) -> dict[str, str]:
    """The labels between the braces of a sample."""
    found: dict[str, str] = {}
    while text:
        match = LABEL.match(text)
        assert match, text
        found[match[1]] = re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], match[2])
        text = text[match.end() :]
    return found


def read(text: str, target: Target = TARGET) -> Samples:
    """The samples by name and state, after a look at what the format asks of every line."""
    assert text.endswith("\n")
    samples: Samples = {}
    helped: list[str] = []
    typed: list[str] = []
    for line in text.split("\n")[:-1]:
        if found := re.fullmatch(r"# (HELP|TYPE) ([a-z_]+) (.+)", line):
            assert found[1] == "HELP" or (found[3] == "gauge" and helped[-1] == found[2])
            (helped if found[1] == "HELP" else typed).append(found[2])
            continue
        sample = re.fullmatch(r"([a-z_]+)\{(.*)\} (\d+)", line)
        assert sample, line
        name, said = sample[1], labels(sample[2])
        assert name == typed[-1]
        assert (said.pop("target"), said.pop("set")) == (target.name, target.set)
        key = (name.removeprefix("registrar_"), said.pop("state", ""))
        assert not said
        assert key not in samples
        samples[key] = float(sample[3])
    assert helped == typed == list(dict.fromkeys(typed))  # each once, its samples together
    return samples


def test_every_state_is_told_and_what_is_not_known_is_not() -> None:
    samples = read(status_prometheus(Status(()), TARGET))
    assert {state for name, state in samples if name == "applications"} == set(STATES)
    assert set(samples.values()) == {0}
    assert {name for name, _ in samples if "seconds" in name or "old" in name} == set()


def test_the_gauges_count_what_status_tells() -> None:
    unproven = WELL
    rows = (
        dataclasses.replace(WELL, path="old", age_s=9_000_000, old=True, proven_at=NOW),
        unproven,
        dataclasses.replace(WELL, path="drifted", state="drift", proven_at=NOW),
        Row("half", "half", "interrupted", "declared", "half-made", "unsettled", managed=True),
        Row("foreign", "foreign", "blocked", "declared", "-", "somebody's"),
        Row("lost", "lost", "undeclared", "-", "living", "stored", managed=True, in_use=True, old=True, proven_at=NOW),
    )
    status = Status(rows, unexplained=3, seen_at=NOW, changed_at=NOW - timedelta(hours=1), older_than_s=7_776_000)
    samples = read(status_prometheus(status, TARGET))
    states = {state: value for (name, state), value in samples.items() if name == "applications" and value}
    assert states == {"in sync": 2, "drift": 1, "interrupted": 1, "blocked": 1, "undeclared": 1}
    assert {name: value for (name, state), value in samples.items() if not state} == {
        "applications_not_in_sync": 3,
        "applications_managed": 5,
        "applications_unexplained": 3,
        "credentials": 4,
        "credentials_unproven": 1,
        "credentials_oldest_age_seconds": 9_000_000,
        "credentials_old": 2,
        "credentials_old_after_seconds": 7_776_000,
        "seen_timestamp_seconds": NOW.timestamp(),
        "changed_timestamp_seconds": NOW.timestamp() - 3600,
    }


@given(LABELS, LABELS)
def test_any_name_comes_back_from_its_label(name: str, plant: str) -> None:
    target = dataclasses.replace(TARGET, name=name, set=plant)
    assert read(status_prometheus(Status((WELL,)), target), target)[("applications", "in sync")] == 1


def test_targets_agree_about_help() -> None:
    """The collector refuses two files that say different things of one metric."""
    one, other = Status((WELL,), older_than_s=60), Status((), older_than_s=3600, seen_at=NOW)
    told = [re.findall("# HELP (\\S+) (.*)", status_prometheus(status, TARGET)) for status in (one, other)]
    assert (
        not {name for name, _ in set(told[0]) ^ set(told[1])}
        & {name for name, _ in told[0]}
        & {name for name, _ in told[1]}
    )


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def published(file: Path, text: str) -> None:
    atomic.write(file, text.encode(), force=True, mode=atomic.ALL_READ)


def test_a_reader_sees_the_file_before_or_the_whole_new_one(tmp_path: Path) -> None:
    file = tmp_path / "registrar.prom"
    file.write_text("before\n")
    file.chmod(0o600)
    reader = file.open()
    before = os.umask(0o077)
    try:
        published(file, "after é\n")
    finally:
        os.umask(before)
    assert reader.read() == "before\n"  # what was there is not written into
    reader.close()
    assert file.read_bytes() == "after é\n".encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "registrar.prom"
    elsewhere.write_text("theirs")
    link.symlink_to(elsewhere)
    published(link, "ours")
    assert (elsewhere.read_text(), link.read_text(), link.is_symlink()) == ("theirs", "ours", False)


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    there = sorted(tmp_path.iterdir())
    for name, reason in (
        ("folder", "a folder"),
        ("pipe", "no file but"),
        ("none/registrar.prom", "there is no such folder"),
        ("file/registrar.prom", "Not a directory"),
        ("n" * 300, "File name too long"),
    ):
        with pytest.raises(UsageError, match=reason):
            published(tmp_path / name, "text")
    assert sorted(tmp_path.iterdir()) == there


def test_a_full_disk_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "registrar.prom"
    file.write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        published(file, "after")
    assert (file.read_text(), list(tmp_path.iterdir())) == ("before", [file])
