"""Several targets in one run: shown together, changed one after the other, and no secret of one is shown at another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registrar import lock
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import TWO, VIEWER_URI, many
from tests.cli.program import Program, finished
from tests.cli.services import Services, serving
from tests.custody import proxy

ALL = "--all-targets"
NAMES = ("dev", "test", "prod")
BOTH = {"Digital Twin Viewer", "Sensor Catalogue"}


@dataclass
class Fleet:
    """Three targets, each with a Nexus and a Vault of its own; the token helper knows the token of each Vault."""

    program: Program
    dev: Services
    test: Services
    prod: Services

    @property
    def all(self) -> tuple[Services, ...]:
        return self.dev, self.test, self.prod

    def call(self, *words: str) -> Any:
        return self.program.call(*words)

    def registered(self) -> list[set[str]]:
        return [{one["name"] for one in services.registered()} for services in self.all]

    def seen(self) -> list[int]:
        """How many requests came to each Vault, and to each Nexus."""
        return [len(door.seen) for one in self.all for door in (one.vault, one.nexus) if door]


def configure(program: Program, targets: dict[str, Services], **more: str) -> None:
    """Declare these targets; `more` is for each of them."""
    program.write(
        "registrar.yaml",
        json.dumps(
            {
                "set": "twin",
                "targets": {
                    name: {"nexus_url": one.environ["NEXUS_URL"], "vault_addr": one.environ["VAULT_ADDR"], **more}
                    for name, one in targets.items()
                },
            }
        ),
    )


def keep_token_helper(program: Program, tokens: dict[str, str]) -> None:
    """A token helper that knows a token for each Vault, as the Vault CLI's own configuration names it."""
    helper = program.home / "helper"
    cases = "".join(f"{addr}) echo {token};;\n" for addr, token in tokens.items())
    helper.write_text(f'#!/bin/sh\ncase "$VAULT_ADDR" in\n{cases}esac\n')
    helper.chmod(0o700)
    (program.home / ".vault").write_text(json.dumps({"token_helper": str(helper)}))


@contextlib.contextmanager
def running() -> Iterator[dict[str, Services]]:
    """Three times both stand-ins, ended side by side, since each waits for its threads."""
    stacks = [contextlib.ExitStack() for _ in NAMES]
    try:
        yield {name: stack.enter_context(serving(proxies=True)) for name, stack in zip(NAMES, stacks, strict=True)}
    finally:
        with ThreadPoolExecutor(len(stacks)) as pool:
            list(pool.map(contextlib.ExitStack.close, stacks))


@pytest.fixture
def fleet(program: Program) -> Iterator[Fleet]:
    with running() as targets:
        for one in targets.values():
            key = {"api_key": one.environ["NEXUS_API_KEY"], "api_secret": one.environ["NEXUS_API_SECRET"]}
            one.root.do("POST", "secret/data/registrar/nexus", {"data": key})
        configure(program, targets, nexus_credentials="secret/registrar/nexus")
        keep_token_helper(program, {one.environ["VAULT_ADDR"]: one.environ["VAULT_TOKEN"] for one in targets.values()})
        program.environ["SSL_CERT_FILE"] = "/dev/null"  # no TLS here, and the system's take 50 ms to read
        program.write("manifests/apps.yaml", TWO)
        yield Fleet(program, **targets)


@pytest.fixture(scope="module")
def doors() -> Iterator[dict[str, Services]]:
    """Three targets for what is refused before anything is sent, so that nothing has to be built up for each test."""
    with running() as targets:
        yield targets


@pytest.fixture
def still(program: Program, doors: dict[str, Services]) -> Iterator[Fleet]:
    """A fleet to which nothing comes."""
    configure(program, doors, nexus_credentials="secret/registrar/nexus")
    program.write("manifests/apps.yaml", TWO)
    fleet = Fleet(program, **doors)
    yield fleet
    assert set(fleet.seen()) == {0}


def lost(services: Services) -> None:
    """Nobody listens there any more."""
    assert services.vault
    services.vault.refuse()


# ── all is well ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_several_targets_from_the_first_plan_to_in_sync(fleet: Fleet) -> None:
    planned = fleet.call("plan", ALL)
    assert (planned.code, planned.err) == (0, "")
    assert re.findall(r"^Target (\w+)$", planned.out, re.MULTILINE) == ["dev", "test", "prod"]
    assert planned.out.count("Plan: 2 to create.\nDigest: ") == 3
    *_, total, last = planned.out.splitlines()
    assert total == "3 targets: 6 to create."
    digest = last.removeprefix("Digest of all: ")
    assert fleet.call("plan", ALL, "--detailed-exitcode").code == 2

    applied = fleet.call("apply", ALL, "--yes", "--expect", digest)
    assert applied.code == 0, applied.err
    assert applied.out.startswith(planned.out)
    assert applied.out.endswith("\n2 done\n\n3 targets: 6 done\n")
    assert re.findall(r"^Target (\w+)$", applied.err, re.MULTILINE) == ["dev", "test", "prod"]
    assert fleet.registered() == [BOTH] * 3
    assert all(one.proves("viewer", VIEWER_URI) for one in fleet.all)

    again = fleet.call("apply", ALL, "--yes")
    assert (again.code, again.out.splitlines()[-1]) == (0, "3 targets: nothing to do: 6 applications in sync.")
    table = fleet.call("status", ALL, "--detailed-exitcode")
    assert (table.code, table.out.splitlines()[-1]) == (0, "3 targets: 6 in sync")
    proven = fleet.call("verify", ALL)
    assert (proven.code, proven.out.splitlines()[-1]) == (0, "3 targets: 6 right")
    assert proven.out.startswith("Target dev\n\nright  ")
    recovered = fleet.call("recover", ALL, "--yes")
    assert (recovered.code, recovered.out.count("Nothing to recover")) == (0, 3)
    assert recovered.out.endswith("\n3 targets: nothing to recover: no run has left anything half done.\n")


def test_the_order_is_the_one_given_and_only_these_are_touched(fleet: Fleet) -> None:
    applied = fleet.call("-t", "prod", "-t", "dev", "apply", "--yes", "-o", "json")
    assert applied.code == 0, applied.err
    assert [one["plan"]["target"]["name"] for one in applied.document["reports"]] == ["prod", "dev"]
    assert fleet.registered() == [BOTH, set(), BOTH]
    assert not fleet.test.vault or fleet.test.vault.seen == []
    table = fleet.call("status", "-t", "prod", "-t", "test", "--detailed-exitcode")
    assert (table.code, table.out.splitlines()[-1]) == (2, "2 targets: 2 in sync, 2 new")


def test_one_target_after_the_command_beats_several_before_it(fleet: Fleet) -> None:
    for before in ((ALL,), ("-t", "dev", "-t", "test")):
        assert fleet.call(*before, "plan", "-t", "prod", "-o", "json").document["target"]["name"] == "prod"


def test_the_documents_of_several(fleet: Fleet) -> None:
    planned = fleet.call("plan", ALL, "-o", "json").document
    assert (planned["kind"], len(planned["plans"]), planned["errors"]) == ("plans", 3, [])
    assert planned["counts"] == {"create": 6}
    applied = fleet.call("apply", ALL, "--yes", "-o", "json", "--expect", planned["digest"]).document
    assert (applied["kind"], applied["digest"], applied["exit_code"]) == ("reports", planned["digest"], 0)
    assert [one["plan"]["digest"] for one in applied["reports"]] == [one["digest"] for one in planned["plans"]]
    assert (applied["not_begun"], applied["hint"], applied["interrupted"]) == ([], "", False)
    table = fleet.call("status", ALL, "-o", "json").document
    assert (table["kind"], [len(one["rows"]) for one in table["statuses"]]) == ("statuses", [2, 2, 2])
    proven = fleet.call("verify", ALL, "-o", "json").document
    assert (proven["kind"], [one["counts"]["right"] for one in proven["verifications"]]) == ("verifications", [2, 2, 2])
    without = fleet.call("plan", ALL, "-o", "json", "--without-nexus").document
    assert without["digest"] is None


def test_a_comment_on_several(fleet: Fleet) -> None:
    lost(fleet.test)
    comment = fleet.call("plan", ALL, "-o", "markdown")
    assert comment.code == 3
    assert re.findall(r"^### (\w+)", comment.out, re.MULTILINE) == ["dev", "test", "prod"]
    assert comment.out.rstrip().endswith("Not looked at: test.")
    done = fleet.call("apply", "-t", "dev", "-t", "prod", "--yes", "-o", "markdown")
    assert done.code == 0
    assert done.out.count("| done | create |") == 4
    assert done.out.endswith("\n2 targets: 4 done\n")
    assert fleet.call("status", "-t", "dev", "-t", "prod", "-o", "markdown").out.endswith("2 targets: 4 in sync\n")


def test_what_is_about_one_target_alone(still: Fleet) -> None:
    for words, told in (
        (("plan", "--out", "plan.json"), "--out is for the plan of one target"),
        (("apply", "--plan", "plan.json"), "--plan is for the plan of one target"),
        (("status", "-o", "prometheus"), "--output prometheus tells of one target, and 3 are meant"),
        (("status", "-o", "junit"), "--output junit tells of one target, and 3 are meant"),
    ):
        refused = still.call(*words, ALL)
        assert (refused.code, told in refused.err) == (64, True), refused.err


def test_standard_input_is_read_once_for_all(fleet: Fleet) -> None:
    applied = fleet.program.call("apply", "-", "-t", "dev", "-t", "prod", "--yes", stdin=many(1).encode())
    assert applied.code == 0, applied.err
    assert fleet.registered() == [{"App 0"}, set(), {"App 0"}]


def test_it_asks_once(fleet: Fleet) -> None:
    refused = fleet.program.on_terminal("apply", ALL, answers=["n"])
    assert (refused.code, fleet.registered()) == (1, [set()] * 3)
    assert "Nothing was changed." in refused.out
    agreed = fleet.program.on_terminal("apply", ALL, answers=["y"])
    assert agreed.code == 0, agreed.out
    assert agreed.out.count("[y/N]") == 1
    assert agreed.out.index("Digest of all: ") < agreed.out.index("[y/N]") < agreed.out.index("3 targets: 6 done")
    assert fleet.call("apply", ALL).code == 64  # with nobody there to answer


def test_the_sandbox_has_each_declared_target(program: Program) -> None:
    """Targets that differ in nothing but their addresses, and have the same applications."""
    program.write(
        "registrar.yaml",
        json.dumps(
            {
                "targets": {
                    name: {
                        "nexus_url": f"https://{name}.example.gov",
                        "vault_addr": f"https://vault-{name}.example.gov",
                    }
                    for name in ("dev", "prod")
                }
            }
        ),
    )
    program.write("manifests/apps.yaml", TWO)
    program.environ |= {
        "SSL_CERT_FILE": "/dev/null",
        "VAULT_TOKEN": "of-one",
        "VAULT_ADDR": "https://vault.elsewhere.example",
    }  # says nothing here
    applied = program.call("--sandbox", "apply", ALL, "--yes")
    assert applied.code == 0, applied.out + applied.err
    assert "\n2 targets: 4 to create.\n" in applied.out
    assert program.call("--sandbox", "creds", "get", "viewer", "-t", "prod").code == 0
    assert not program.state.exists()  # which is the one of no target


# ── something is in the way ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_can_be_reached_is_shown(fleet: Fleet) -> None:
    assert fleet.call("apply", "-t", "dev", "--yes").code == 0
    lost(fleet.test)
    assert fleet.test.vault
    for words, total in (
        (("plan", "--detailed-exitcode"), "3 targets: 2 to create, 2 in sync.\nNot looked at: test.\n"),
        (("status", "--detailed-exitcode"), "3 targets: 2 in sync, 2 new\nNot looked at: test.\n"),
        (("verify",), "3 targets: 2 right\nNot looked at: test.\n"),
    ):
        shown = fleet.call(*words, ALL)
        assert shown.code == 3
        assert shown.out.endswith(total)
        told = f"no connection to Vault at {fleet.test.vault.url}: connection refused\n"
        assert f"\nTarget test\n  {told}" in shown.out
        assert shown.err.startswith(f"registrar: test: {told}")
    document = fleet.call("plan", ALL, "-o", "json").document
    assert [one["target"]["name"] for one in document["plans"]] == ["dev", "prod"]
    assert [(one["target"], one["exit_code"]) for one in document["errors"]] == [("test", 3)]
    assert (document["digest"], document["exit_code"]) == (None, 3)


def test_nothing_is_applied_where_one_cannot_be_planned(fleet: Fleet) -> None:
    lost(fleet.prod)
    refused = fleet.call("apply", ALL, "--yes")
    assert refused.code == 3
    assert "Nothing was changed, since not every target could be planned: prod\n" in refused.err
    assert fleet.registered() == [set()] * 3
    document = fleet.call("apply", ALL, "--yes", "-o", "json").document
    assert (document["not_begun"], document["reports"], document["exit_code"]) == (["dev", "test"], [], 3)
    assert document["errors"][0]["target"] == "prod"


def test_manifests_that_are_invalid_for_one_target(fleet: Fleet) -> None:
    fleet.program.write("manifests/apps.yaml", TWO + "    targets: {test: {redirect_uri: 'ftp://x.example.org'}}\n")
    planned = fleet.call("plan", ALL)
    assert planned.code == 4
    assert "3 targets: 4 to create.\nNot looked at: test.\n" in planned.out
    assert "registrar: test: the manifests are not valid" in planned.err


def on_first_effect(services: Services, act: Callable[[], object]) -> None:
    """Do this when the first application has been registered there, before anybody knows."""
    waiting = [act]

    def after(exchange: proxy.Exchange, _answer: proxy.Answer) -> None:
        if exchange.method == "POST" and exchange.path.endswith("/oauth/applications") and waiting:
            waiting.pop()()

    assert services.nexus
    services.nexus.after = after


def failing(services: Services) -> None:
    """Nexus registers nothing more, and says so."""
    assert services.nexus
    services.nexus.on("POST", "/oauth/applications", proxy.say(400, b'{"error":"no more"}'), times=99)


def test_after_a_failure_the_next_is_not_begun(fleet: Fleet) -> None:
    failing(fleet.test)
    applied = fleet.call("apply", ALL, "--yes", "--parallelism", "1")
    assert applied.code == 1
    assert fleet.registered() == [BOTH, set(), set()]
    assert applied.out.endswith(
        "\n3 targets: 2 done, 2 failed; not begun: prod\n"
        "  → registrar apply --target test --target prod --yes --parallelism 1\n"
    )
    assert not fleet.prod.vault or not any("lock" in one.path and one.method == "POST" for one in fleet.prod.vault.seen)
    assert fleet.test.nexus
    fleet.test.nexus._rules.clear()
    going_on = applied.out.splitlines()[-1].split()[2:]
    assert fleet.call(*going_on).code == 0
    assert fleet.registered() == [BOTH] * 3


def test_the_document_after_a_failure(fleet: Fleet) -> None:
    failing(fleet.test)
    applied = fleet.call("--target", "dev", "-t", "test", "-t", "prod", "apply", "--yes", "-o", "json")
    found = applied.document
    assert (applied.code, found["exit_code"], found["not_begun"]) == (1, 1, ["prod"])
    assert [one["exit_code"] for one in found["reports"]] == [0, 1]
    assert found["hint"] == "registrar apply --target test --target prod --yes --output json"


def test_a_lock_that_is_held_stops_before_anything_and_between(fleet: Fleet) -> None:
    vault = Vault(fleet.test.running.vault_addr, token=Secret(fleet.test.running.vault_token))
    words = ("apply", ALL, "--yes", "--lock-timeout", "0")
    with contextlib.closing(vault):
        with lock.take(vault, holder="the night shift", domain=lambda: ""):
            held = fleet.call(*words)
            assert (held.code, fleet.registered()) == (6, [set()] * 3)
            assert "registrar: test: another run holds the lock: the night shift\n" in held.err
        with contextlib.ExitStack() as stack:
            on_first_effect(
                fleet.dev, lambda: stack.enter_context(lock.take(vault, holder="the day shift", domain=lambda: ""))
            )
            held = fleet.call(*words)
        assert (held.code, fleet.registered()) == (1, [BOTH, set(), set()])  # 6 would say that nothing has changed
        assert "registrar: test: another run holds the lock: the day shift\n" in held.err
        assert "3 targets: 2 done; failed: test; not begun: prod\n" in held.out


def test_what_changes_after_it_was_shown_is_not_applied(fleet: Fleet) -> None:
    by_hand = {"name": "Digital Twin Viewer", "redirect_uri": VIEWER_URI}
    on_first_effect(fleet.dev, lambda: fleet.prod.by_hand.create(by_hand))
    stale = fleet.call("apply", "-t", "dev", "-t", "prod", "--yes")
    assert stale.code == 1
    assert "registrar: prod: the plan has changed since it was shown\n" in stale.err
    assert fleet.registered() == [BOTH, set(), {"Digital Twin Viewer"}]


def test_brakes_count_over_all_plans_before_any_effect(fleet: Fleet) -> None:
    assert fleet.call("apply", ALL, "--yes").code == 0
    fleet.dev.delete("Sensor Catalogue")
    fleet.prod.delete("Digital Twin Viewer")
    for flag in ((), ("--allow-replace", "1")):
        braked = fleet.call("apply", ALL, "--yes", *flag)
        assert braked.code == 5
        assert braked.err.endswith("  → if that is meant: registrar apply --allow-replace 2\n")
    assert fleet.registered() == [{"Digital Twin Viewer"}, BOTH, {"Sensor Catalogue"}]
    assert fleet.call("apply", ALL, "--yes", "--allow-replace", "2").code == 0
    assert fleet.registered() == [BOTH] * 3


def test_a_digest_approves_all_of_them_in_their_order_or_none(fleet: Fleet) -> None:
    planned = fleet.call("plan", "-t", "dev", "-t", "prod", "-o", "json").document
    before = fleet.seen()
    words = ("apply", "--yes", "--expect")
    alone = fleet.call(*words, planned["plans"][1]["digest"], "-t", "dev", "-t", "prod")
    assert (alone.code, alone.err.splitlines()[-1]) == (
        6,
        "  → that approves prod alone: registrar apply --target prod",
    )
    turned = fleet.call(*words, planned["digest"], "-t", "prod", "-t", "dev", "-o", "json")
    assert (turned.code, turned.document["error"]["exit_code"]) == (6, 6)
    assert fleet.registered() == [set()] * 3
    assert fleet.seen() > before
    assert fleet.call(*words, planned["plans"][1]["digest"], "-t", "prod").code == 0
    assert fleet.registered() == [set(), set(), BOTH]


# ── Ctrl-C ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["within", "between"])
def test_a_signal_lets_finish_what_has_begun_and_begins_no_other_target(fleet: Fleet, where: str) -> None:
    """While an application of the second one is being registered, or while that one is still being looked at."""
    process = fleet.program.start("apply", ALL, "--yes", "-o", "json")
    begun: list[str] = []

    def stop() -> None:
        os.kill(process.pid, signal.SIGINT)

    def look(exchange: proxy.Exchange) -> None:
        if begun and exchange.method == "GET" and "/oauth/applications" in exchange.path:
            begun.clear()
            stop()

    assert fleet.test.nexus
    if where == "within":
        on_first_effect(fleet.test, stop)
    else:
        on_first_effect(fleet.dev, lambda: begun.append("dev"))
        fleet.test.nexus.before = look
    ended = finished(process)
    assert ended.code == 130, ended.err
    found = ended.document
    assert (found["interrupted"], found["exit_code"], found["not_begun"]) == (True, 130, ["prod"])
    assert fleet.registered()[::2] == [BOTH, set()]
    assert bool(fleet.registered()[1]) == (where == "within")
    assert "nothing was changed" not in ended.err
    assert ("registrar: test: stopped before its first effect\n" in ended.err) == (where == "between")
    assert found["hint"] == "registrar apply --target test --target prod --yes --output json"
    assert fleet.call("apply", "-t", "test", "-t", "prod", "--yes", "--lock-timeout", "1").code == 0
    assert fleet.registered() == [BOTH] * 3


# ── what cannot be meant ──────────────────────────────────────────────────────────────────────────────────────────────


def test_flags_that_cannot_be_meant(still: Fleet) -> None:
    for words, told in (
        (("plan", ALL, "-t", "dev"), "--all-targets leaves no choice for --target"),
        (("plan", "-t", "dev", "-t", "dev"), "--target `dev` is given twice"),
        (("plan", "-t", "dev", "-t", "pord"), "there is no target `pord`"),
        (("plan", ALL, "--prune", "--only", "viewer"), "registrar: --prune with --only would retire everything"),
        (("apply", ALL, "--prune", "manifests", "--yes"), "registrar: --prune with a PATH would retire everything"),
        (("plan", ALL, "--vault-prefix", "x"), "--vault-prefix says where one target is, and 3 are meant"),
        (
            ("show", "viewer", "-t", "dev", "-t", "test"),
            "registrar show works on one target at a time, and 2 were given",
        ),
        (
            (ALL, "creds", "get", "viewer"),
            "registrar creds get works on one target at a time, and --all-targets was given",
        ),
        ((ALL, "rotate", "viewer"), "registrar rotate works on one target at a time, and --all-targets was given"),
        ((ALL, "plan", "--config", "none.yaml"), "no registrar.yaml declares any targets"),
    ):
        still.program.write("none.yaml", "set: none\n")
        refused = still.call(*words)
        assert refused.code == 64
        assert told in refused.err


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────────────────────────

LENT = {
    "VAULT_TOKEN": {"VAULT_TOKEN": "canary"},
    "BAO_TOKEN": {"BAO_TOKEN": "canary"},
    "NEXUS_API_KEY": {"NEXUS_API_KEY": "canary", "NEXUS_API_SECRET": "canary"},
    "NEXUS_TOKEN": {"NEXUS_TOKEN": "canary"},
}


@pytest.mark.parametrize("lent", LENT)
def test_a_secret_of_the_environment_is_for_one_server(still: Fleet, lent: str) -> None:
    keep_token_helper(still.program, {"*": "canary"})  # which would have been asked otherwise
    still.program.environ |= LENT[lent]
    for words in (("plan",), ("apply", "--yes"), ("status",), ("recover", "--yes")):
        refused = still.call(*words, ALL)
        assert refused.code == 64
        service = "Nexus" if lent.startswith("NEXUS") else "Vault"
        assert f"{lent.replace('BAO', 'VAULT')} is for one {service}, but the target `dev` is at " in refused.err
        assert ("nexus_credentials" if service == "Nexus" else "vault_auth") in refused.err
        assert "canary" not in refused.err


def test_the_token_that_vault_login_left_is_for_one_vault(still: Fleet) -> None:
    (still.program.home / ".vault-token").write_text(still.dev.running.vault_token)
    refused = still.call("status", ALL)
    assert refused.code == 64
    assert "~/.vault-token is for one Vault" in refused.err


def test_a_helper_that_has_one_token_for_every_vault(fleet: Fleet) -> None:
    token = fleet.dev.running.vault_token
    keep_token_helper(fleet.program, {"*": token})
    refused = fleet.call("apply", ALL, "--yes")
    assert refused.code == 64
    assert "is the one for" in refused.err
    assert fleet.registered() == [set()] * 3
    assert not fleet.test.vault or fleet.test.vault.seen == []
    assert not fleet.prod.vault or fleet.prod.vault.seen == []


def test_a_password_of_the_environment_is_for_one_vault(still: Fleet) -> None:
    still.program.environ["VAULT_PASSWORD"] = "canary"
    refused = still.call("status", ALL, "--vault-auth", "ldap", "--vault-username", "ann")
    assert (refused.code, "VAULT_PASSWORD is for one Vault" in refused.err) == (64, True)


def test_a_password_is_typed_once_for_each_vault(fleet: Fleet) -> None:
    for one, password in ((fleet.dev, "of-dev"), (fleet.prod, "of-prod")):
        assert one.vault
        auth = {"client_token": one.running.vault_token, "lease_duration": 3600, "renewable": True}
        one.vault.on("POST", "^/v1/auth/userpass/login/ada$", logging_in(password, auth), times=99)
        one.vault.on("POST", "^/v1/auth/token/revoke-self$", proxy.say(204, b""), times=99)
    words = ("-t", "dev", "-t", "prod", "apply", "--yes", "--vault-auth", "userpass", "--vault-username", "ada")
    applied = fleet.program.on_terminal(*words, answers=["of-dev", "of-prod"])
    assert applied.code == 0, applied.out
    asked = re.findall(r"Vault password of ada at (\S+): ", applied.out)
    assert asked == [fleet.dev.environ["VAULT_ADDR"], fleet.prod.environ["VAULT_ADDR"]]
    assert fleet.registered() == [BOTH, set(), BOTH]


def logging_in(password: str, auth: dict[str, Any]) -> proxy.Action:
    """What Vault answers to a login, to this password alone."""

    def action(_proxy: proxy.Proxy, exchange: proxy.Exchange) -> proxy.Answer:
        right = json.loads(exchange.body) == {"password": password}
        return proxy.Answer(200 if right else 400, json.dumps({"auth": auth} if right else {"errors": []}).encode())

    return action


def test_an_address_that_is_exported_is_not_that_of_all(still: Fleet) -> None:
    still.program.environ["VAULT_ADDR"] = addr = still.dev.environ["VAULT_ADDR"]
    refused = still.call("status", ALL)
    assert refused.code == 64
    other = still.test.environ["VAULT_ADDR"]
    assert refused.err == (
        f"registrar: VAULT_ADDR is {addr}, but the target `test` has vault_addr {other}\n  → unset VAULT_ADDR\n"
    )


def test_one_token_serves_two_targets_in_one_vault(tmp_path: Path) -> None:
    with serving() as services:
        program = Program(tmp_path, services.environ | {"SSL_CERT_FILE": "/dev/null"})
        program.write("registrar.yaml", "targets: {a: {vault_prefix: nexus/a}, b: {vault_prefix: nexus/b}}")
        program.write("a.yaml", many(2).replace("made}", "made, targets: {b: false}}").replace("App 1", "App 1 of a"))
        planned = program.call("plan", "a.yaml", ALL)
        assert planned.code == 0, planned.err
        assert planned.out.splitlines()[-2] == "2 targets: 2 to create."
        assert program.call("apply", "a.yaml", ALL, "--yes").code == 0
        assert program.call("verify", ALL).out.endswith("2 targets: 2 right\n")
