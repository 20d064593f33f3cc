"""Status as gauges in Prometheus's text format, for the textfile collector of node exporter.

Owns the names of the metrics, which alerts rest on. Must never tell anything by the local clock, nor give a HELP that
differs from target to target, since the collector refuses files that disagree about one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from registrar.model import Target
from registrar.status import STATES, Status


@dataclass(frozen=True, slots=True)
class _Gauge:
    """One metric; a value of None is not known, and has no sample."""

    name: str
    help: str
    value: int | None
    labels: dict[str, str] = field(default_factory=dict)


def status_prometheus(status: Status, target: Target) -> str:
    """Every gauge of one target."""
    lines: list[str] = []
    told = ""
    for gauge in _gauges(status):
        if gauge.value is None:
            continue
        if gauge.name != told:
            lines += [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} gauge"]
            told = gauge.name
        labels = {"target": target.name, "set": target.set, **gauge.labels}
        spelt = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        lines.append(f"{gauge.name}{{{spelt}}} {gauge.value}")
    return "\n".join(lines) + "\n"


def _gauges(status: Status) -> Iterator[_Gauge]:
    rows = status.rows
    for state in STATES:
        number = status.counts.get(state, 0)
        yield _Gauge("registrar_applications", "Applications by their state.", number, {"state": state})
    yield _Gauge(
        "registrar_applications_not_in_sync",
        "Applications that status --detailed-exitcode exits 2 for.",
        sum(not row.well for row in rows),
    )
    managed = sum(row.managed for row in rows)
    yield _Gauge("registrar_applications_managed", "Applications with a record of this set, not retired.", managed)
    yield _Gauge(
        "registrar_applications_unexplained", "Living applications that no record explains.", status.unexplained
    )
    yield _Gauge("registrar_credentials", "Credentials in use.", sum(row.in_use for row in rows))
    yield _Gauge(
        "registrar_credentials_unproven",
        "Credentials in use that were never proven since they were made.",
        sum(row.unproven for row in rows),
    )
    ages = [row.age_s for row in rows if row.age_s is not None]
    yield _Gauge(
        "registrar_credentials_oldest_age_seconds",
        "Age of the oldest credential in use.",
        max(ages, default=None),
    )
    yield _Gauge(
        "registrar_credentials_old",
        "Credentials in use that are older than registrar_credentials_old_after_seconds.",
        None if status.older_than_s is None else len(status.old),
    )
    yield _Gauge("registrar_credentials_old_after_seconds", "The age given as --older-than.", status.older_than_s)
    yield _Gauge("registrar_seen_timestamp_seconds", "When this was seen, by Vault's clock.", _epoch(status.seen_at))
    yield _Gauge(
        "registrar_changed_timestamp_seconds",
        "When a run last registered, rotated or proved a credential, by Vault's clock.",
        _epoch(status.changed_at),
    )


def _epoch(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None


def _escaped(value: str) -> str:
    """A label's value, as the exposition format spells it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
