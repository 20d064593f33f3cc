"""A check as people and programs read it, and the judgements that both services share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from registrar.doctor import COMMANDS, NEXUS, VAULT, Again, Check, State, commands, counted, length, life, spelt
from registrar.errors import AccessDenied, RegistrarError, Unreachable, Unsuitable
from registrar.model import Target
from registrar.policy import Role
from registrar.render import doctor_json, doctor_text
from registrar.tls import Seen
from tests.documents import validated

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOTHING: dict[Role, list[str]] = {role: [] for role in Role}


def raising(error: RegistrarError) -> Callable[[], Mapping[Role, Sequence[str]]]:
    def asked() -> Mapping[Role, Sequence[str]]:
        raise error

    return asked


def _never() -> Mapping[Role, Sequence[str]]:
    raise AssertionError("it was asked")


def test_each_line_has_its_name_and_ends_in_how_it_stands() -> None:
    checks = [
        VAULT.well("address", "it answers"),
        VAULT.warning("identity", "as root", "registrar policy"),
        COMMANDS.raised("plan", Unsuitable(" ".join(["long"] * 20), hint="try again")),
    ]
    text = doctor_text(checks)
    assert text.splitlines() == [
        "Vault",
        f"  address   {'it answers':65}  ✓",
        f"  identity  {'as root':65}  !",
        "    → registrar policy",
        "",
        "Commands",
        f"  plan      {' '.join(['long'] * 13)}",
        f"            {' '.join(['long'] * 7):65}  ✗",
        "    → try again",
        "",
        "1 failure, 1 warning",
    ]
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b[31m✗\x1b[0m" in doctor_text(checks, colour=True)


def test_a_pipeline_that_is_too_long_can_still_be_pasted() -> None:
    hint = Again(" --target production", "-production").token(Role.APPLIER)
    lines = doctor_text([VAULT.warning("identity", "text", hint)]).splitlines()
    assert lines[2:5] == [
        "    → registrar policy --for applier --target production |",
        "      vault policy write registrar-applier-production - &&",
        "      vault token create -policy=registrar-applier-production",
    ]
    prose = doctor_text([VAULT.warning("identity", "text", " ".join(["word"] * 40))]).splitlines()
    assert max(map(len, prose)) <= 80


@pytest.mark.parametrize(
    ("states", "ending"),
    [
        ([State.OK], "All is well."),
        ([State.OK, State.WARNING], "It works, with 1 warning."),
        ([State.WARNING, State.WARNING], "It works, with 2 warnings."),
        ([State.FAILED, State.FAILED], "2 failures"),
    ],
)
def test_the_last_line_says_what_it_comes_to(states: list[State], ending: str) -> None:
    checks = [Check("Vault", "x", state, "text") for state in states]
    assert doctor_text(checks).splitlines()[-1] == ending
    document = validated(json.loads(doctor_json(checks, Target("dev", "", "", ""))))
    assert document["target"]["name"] == "dev"
    assert document["well"] is (State.FAILED not in states)
    assert [check["state"] for check in document["checks"]] == [str(state) for state in states]


def test_a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in doctor_text([VAULT.warning("identity", "a\x1b[2Jb", "c\x1bd")])


def test_the_first_that_fails_is_the_last() -> None:
    def raises() -> Iterator[Check]:
        yield VAULT.well("address", "it answers")
        raise Unsuitable("no", hint="yes")

    def fails() -> Iterator[Check]:
        yield VAULT.failed("server", "sealed", "unseal it")
        yield VAULT.well("never", "asked")

    after = ("after", lambda: [VAULT.well("after", "asked")])
    told = [(check.id, check.state, check.hint) for check in VAULT.in_turn([("mount", raises), after])]
    assert told == [("address", State.OK, ""), ("mount", State.FAILED, "yes")]
    assert [check.id for check in VAULT.in_turn([("address", fails), after])] == ["server"]
    assert [check.id for check in VAULT.in_turn([after, after])] == ["after", "after"]


class TestCommands:
    def found(
        self,
        *checks: Check,
        lacks: Mapping[Role, Sequence[str]] = NOTHING,
    ) -> list[tuple[str, State, str, str]]:
        return [
            (c.id, c.state, c.text, c.hint) for c in commands(checks, lambda: lacks, Again(" --target prod", "-prod"))
        ]

    def test_all_can_be_done(self) -> None:
        assert [found[:2] for found in self.found()] == [
            ("plan", State.OK), ("apply", State.OK), ("creds", State.OK),
        ]  # fmt: skip

    def test_what_is_lacking_is_named_with_the_command_that_gives_it(self) -> None:
        lacks = {**NOTHING, Role.APPLIER: ["update on a", "read on b", "read on c"], Role.DEVELOPER: ["read on d"]}
        plan, apply, creds = self.found(lacks=lacks)
        assert plan[1] is State.OK
        assert apply == (
            "apply",
            State.WARNING,
            "nothing that changes an application: no update on a, and 2 more",
            "registrar policy --for applier --target prod | vault policy write registrar-applier-prod -",
        )
        assert creds[1] is State.WARNING
        assert creds[3].startswith("registrar policy --for developer --target prod NAME")

    def test_without_nexus_a_credential_can_still_be_fetched(self) -> None:
        plan, apply, creds = self.found(NEXUS.failed("address", "away", ""))
        assert plan[1:3] == (State.WARNING, "only plan --without-nexus: Nexus is not well")
        assert apply[1:3] == (State.WARNING, "nothing that changes an application: Nexus is not well")
        assert creds[1] is State.OK

    def test_without_vault_nothing_is_asked(self) -> None:
        down = [VAULT.failed("address", "away", "")]
        assert list(commands(down, _never, Again())) == []

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (AccessDenied("refused", hint="ask"), State.WARNING),
            (Unreachable("gone", hint="ask"), State.FAILED),
        ],
    )
    def test_a_policy_that_does_not_tell_is_no_failure(self, error: RegistrarError, state: State) -> None:
        (check,) = commands([], raising(error), Again())
        assert (check.id, check.state, check.hint) == ("rights", state, "ask")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "agrees"),
        (4, "agrees"),
        (-4, "agrees"),
        (5, "5 s ahead of"),
        (61, "61 s ahead of"),
        (-3600, "3600 s behind"),
    ],
)
def test_clocks(seconds: int, said: str) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    (check,) = VAULT.clock(date, NOW, affects="which matters")
    assert said in check.text
    assert (check.state is State.OK) is ("agrees" in said)


@pytest.mark.parametrize("date", ["", "soon", "2026-01-01"])
def test_an_answer_without_a_date_says_nothing_of_clocks(date: str) -> None:
    assert list(VAULT.clock(date, NOW, affects="")) == []


@pytest.mark.parametrize(
    ("url", "seen", "state", "said"),
    [
        ("https://vault", Seen("TLS 1.3", "R11", 14), State.OK, "TLS 1.3, certificate by R11, 14 days left"),
        ("https://vault", Seen("TLS 1.2", "", 13), State.WARNING, "TLS 1.2, certificate by nobody named, 13 days left"),
        ("https://vault", Seen("TLS 1.3"), State.WARNING, "TLS 1.3, and the certificate is not checked"),
        ("http://vault:8200", None, State.WARNING, "the connection is not encrypted: anybody on the way reads along"),
    ],
)
def test_certificates(url: str, seen: Seen | None, state: State, said: str) -> None:
    (check,) = VAULT.certificate(url, lambda: seen)
    assert (check.state, check.text) == (state, said)
    assert bool(check.hint) is (state is not State.OK)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8200", "http://localhost", "http://[::1]:1", "https://vault"])
def test_what_is_not_seen_is_not_told(url: str) -> None:
    assert list(VAULT.certificate(url, lambda: None)) == []


def test_lengths_and_numbers() -> None:
    assert [life(s) for s in (0, 59.9, 119, 120, 7199, 7200, 172_800)] == [
        "0 s",
        "59 s",
        "119 s",
        "2 minutes",
        "119 minutes",
        "2 hours",
        "2 days",
    ]
    assert [counted(n, "record") for n in (0, 1, 2)] == ["0 records", "1 record", "2 records"]


@pytest.mark.parametrize("text", ["0", "90s", "30m", "24h", "7d", "2w", "1441m", "99999s"])
def test_a_length_is_spelt_as_it_is_read(text: str) -> None:
    found = length(text)
    assert found is not None
    assert length(spelt(found)) == found
    assert spelt(found) == {"24h": "1d", "7d": "1w"}.get(text, text)


@pytest.mark.parametrize("text", ["", "24", "h", "1.5h", "-1h", "24 h", "1y", "100000s"])
def test_what_is_no_length_of_time(text: str) -> None:
    assert length(text) is None
