"""rotate, retire, restore and adopt as commands, and apply with --prune, --unarchive and --verify."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest

from registrar import lock
from registrar.secret import Secret
from registrar.vault import Vault
from tests.cli.manifests import CATALOGUE_URI, TWO, VIEWER_URI, many
from tests.cli.program import Program
from tests.cli.services import Services
from tests.custody import proxy

CONFIG = "set: twin\nmanifests: apps.yaml\ntargets: {default: {}}\n"


@pytest.fixture
def applied(connected: Program) -> Program:
    """Two applications of a set, applied."""
    connected.write("registrar.yaml", CONFIG)
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "--yes").code == 0
    return connected


def names(services: Services, *, archived: bool = False) -> list[str]:
    return sorted(str(found["name"]) for found in services.registered(archived=archived))


# ── rotate ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rotate_by_name_or_path_says_that_the_client_id_changes(applied: Program, services: Services) -> None:
    before = services.credential("viewer")
    rotated = applied.call("rotate", "Digital Twin Viewer", "--yes")
    assert rotated.code == 0
    assert "% rotate   Digital Twin Viewer  viewer  breaks clients\n" in rotated.out
    assert (
        "a new client id and secret, since Nexus cannot change one; the old one works for 24 hours more" in rotated.out
    )
    after = services.credential("viewer")
    assert after["client_id"] != before["client_id"]
    assert re.search(rf"{before['client_id']} works until \d{{4}}-\d\d-\d\d \d\d:\d\d UTC\n", rotated.out)
    assert services.proves("viewer", VIEWER_URI)
    assert names(services) == ["Digital Twin Viewer", "Digital Twin Viewer", "Sensor Catalogue"]
    assert applied.call("plan", "--detailed-exitcode").code == 0
    assert not any(secret in rotated.out + rotated.err for secret in (before["client_secret"], after["client_secret"]))


def test_a_leaked_secret_ends_at_once(applied: Program, services: Services) -> None:
    rotated = applied.call("rotate", "viewer", "--grace", "0", "--yes")
    assert rotated.code == 0
    assert "the old one ends in this run" in rotated.out
    assert rotated.out.endswith("\n2 done\n")
    assert names(services) == ["Digital Twin Viewer", "Sensor Catalogue"]


def test_back_within_the_grace(applied: Program, services: Services) -> None:
    before = services.credential("viewer")
    assert applied.call("rotate", "viewer", "--yes").code == 0
    back = applied.call("rotate", "viewer", "--back", "--yes")
    assert back.code == 0
    assert "Plan: 1 to go back.\n" in back.out
    assert services.credential("viewer") == before
    late = applied.call("rotate", "sensor-catalogue", "--back", "--yes")
    assert late.code == 1
    assert "nothing to go back to" in late.out
    assert "→ registrar creds history sensor-catalogue\n" in late.out


def test_all_and_older_than(applied: Program) -> None:
    applied.write("apps.yaml", TWO + "    protected: true\n")
    assert applied.call("apply", "--yes").code == 0
    young = applied.call("rotate", "--older-than", "90d", "--yes")
    assert (young.code, young.out) == (0, "Nothing to rotate: no credential is as old as that.\n")
    every = applied.call("rotate", "--all", "--yes")
    assert every.code == 0
    assert "Plan: 1 to rotate.\n" in every.out, "the protected one has to be named"
    old = applied.call("rotate", "--older-than", "0", "sensor-catalogue", "--yes")
    assert old.code == 0
    assert "Plan: 1 to rotate.\n" in old.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rotate",), "say which"),
        (("rotate", "viewer", "--all"), "say which"),
        (("rotate", "--all", "--back"), "--back is for applications that are named"),
        (("rotate", "viewer", "--grace", "soon"), "'soon' is not a length of time such as 24h or 90d"),
        (("rotate", "viewer"), "nobody is there to answer"),
        (("rotate", "nobody", "--yes"), "no application is called 'nobody'"),
        (("retire",), "Missing argument 'NAME...'"),
        (("restore",), "Missing argument 'NAME...'"),
        (("adopt", "viewer", "--yes"), "say which application: --client-id ID, or --take-over"),
        (("adopt", "viewer", "--client-id", "c", "--take-over"), "say which application"),
        (("adopt", "viewer", "--client-id", "c", "--rotate", "--from", "-"), "--from is for a secret"),
        (("adopt", "nobody", "--client-id", "c", "--yes"), "no application is called 'nobody'"),
        (("apply", "apps.yaml", "--prune", "--yes"), "--prune with a PATH"),
        (("apply", "--only", "viewer", "--prune", "--yes"), "--prune with --only"),
        (("plan", "apps.yaml", "--prune"), "--prune with a PATH"),
    ],
)
def test_what_cannot_be_meant(applied: Program, services: Services, words: tuple[str, ...], said: str) -> None:
    before = services.dump()
    refused = applied.call(*words)
    assert refused.code == 64
    assert said in refused.err
    assert "\n  → " in refused.err
    assert services.dump() == before


def test_it_asks_on_a_terminal(applied: Program, services: Services) -> None:
    before = services.dump()
    assert applied.on_terminal("rotate", "viewer", answers=["n"]).code == 1
    assert services.dump() == before
    assert applied.on_terminal("rotate", "viewer", answers=["y"]).code == 0
    assert services.dump() != before


def test_json_has_every_step(applied: Program) -> None:
    rotated = applied.call("rotate", "viewer", "--grace", "0", "--yes", "--output", "json").document
    assert [(o["operation"], o["status"]) for o in rotated["outcomes"]] == [("rotate", "done"), ("expire", "done")]
    assert rotated["plan"]["steps"][0]["operation"] == "rotate"


# ── retire, restore, prune ────────────────────────────────────────────────────────────────────────────────────────────


def test_retire_and_restore(applied: Program, services: Services) -> None:
    before = services.credential("viewer")
    retired = applied.call("retire", "viewer", "--yes")
    assert retired.code == 0
    assert "registrar restore viewer brings both back\n" in retired.out
    assert names(services) == ["Sensor Catalogue"]
    gone = applied.call("creds", "get", "viewer")
    assert gone.code == 1
    blocked = applied.call("apply", "--yes")
    assert blocked.code == 1
    assert "→ registrar restore viewer" in blocked.out
    again = applied.call("retire", "viewer", "--yes")
    assert (again.code, again.out.splitlines()[-1]) == (0, "Nothing to do: 1 application in sync.")
    assert applied.call("restore", "viewer", "--yes").code == 0
    assert services.credential("viewer") == before
    assert applied.call("plan", "--detailed-exitcode").code == 0


def test_restore_anew(applied: Program, services: Services) -> None:
    before = services.credential("viewer")
    assert applied.call("retire", "viewer", "--yes").code == 0
    assert applied.call("restore", "viewer", "--rotate", "--yes").code == 0
    assert services.credential("viewer")["client_id"] != before["client_id"]
    assert services.proves("viewer", VIEWER_URI)


def test_prune_retires_what_is_no_longer_declared(applied: Program, services: Services) -> None:
    applied.write("apps.yaml", TWO.partition("  - name: Sensor")[0])
    kept = applied.call("apply", "--yes")
    assert kept.out.endswith("Nothing to do: 1 application in sync, 1 undeclared left alone.\n")
    planned = applied.call("plan", "--prune").out
    assert "- retire   Sensor Catalogue  sensor-catalogue  breaks clients\n" in planned
    digest = planned.splitlines()[-1].removeprefix("Digest: ")
    assert applied.call("apply", "--prune", "--yes", "--expect", digest).code == 0
    assert names(services) == ["Digital Twin Viewer"]


def test_prune_never_takes_everything(applied: Program, services: Services) -> None:
    applied.write("apps.yaml", "apps: []\n")
    before = services.dump()
    refused = applied.call("apply", "--prune", "--yes")
    assert refused.code == 5
    assert "would retire all of them" in refused.err
    assert services.dump() == before


def test_prune_needs_a_set(connected: Program) -> None:
    connected.write("registrar.yaml", CONFIG.replace("set: twin\n", ""))
    connected.write("apps.yaml", TWO)
    refused = connected.call("apply", "--prune", "--yes")
    assert refused.code == 64
    assert "  → name it in registrar.yaml: set: NAME\n" in refused.err


def test_prune_of_many_needs_their_exact_number(connected: Program, services: Services) -> None:
    connected.write("registrar.yaml", CONFIG)
    connected.write("apps.yaml", many(10))
    assert connected.call("apply", "--yes").code == 0
    connected.write("apps.yaml", many(6))
    before = services.dump()
    braked = connected.call("apply", "--prune", "--yes")
    assert braked.code == 5
    assert braked.err.endswith("  → if that is meant: registrar apply --allow-breaking 4\n")
    assert services.dump() == before
    assert connected.call("apply", "--prune", "--yes", "--allow-breaking", "4").code == 0
    assert len(names(services)) == 6


def test_what_somebody_archived_comes_back_with_a_flag(applied: Program, services: Services) -> None:
    services.set_archived("Digital Twin Viewer")
    assert applied.call("apply", "--yes").code == 1
    assert applied.call("apply", "--unarchive", "--yes").code == 0
    assert services.proves("viewer", VIEWER_URI)


def test_apply_proves_before_it_stores(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    assert services.nexus
    wrong = b'{"error":"invalid_grant","error_description":"Token exchange attempt with invalid client_secret for"}'
    services.nexus.on("POST", "/oauth/exchange", proxy.say(400, wrong))
    done = connected.call("apply", "--verify", "--yes", "--parallelism", "1", "apps.yaml")
    assert done.code == 1
    assert "Nexus does not take the credential that it gave" in done.out
    assert len(names(services)) == 1
    assert connected.call("apply", "--verify", "--yes", "apps.yaml").code == 0
    assert services.proves("viewer", VIEWER_URI)
    assert services.proves("sensor-catalogue", CATALOGUE_URI)


# ── adopt ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def by_hand(connected: Program, services: Services) -> tuple[str, str]:
    """An application that somebody registered, and that a manifest declares: its client id and secret."""
    connected.write("registrar.yaml", CONFIG)
    connected.write("apps.yaml", TWO)
    made = services.by_hand.create({"name": "Digital Twin Viewer", "redirect_uri": VIEWER_URI})
    return made.client_id, made.client_secret.reveal()


Give = Callable[[Program, str], tuple[tuple[str, ...], str | None]]


def _file(program: Program, secret: str) -> tuple[tuple[str, ...], str | None]:
    program.write("secret.txt", f"{secret}\n")
    return ("--from", "secret.txt"), None


def _stdin(program: Program, secret: str) -> tuple[tuple[str, ...], str | None]:  # noqa: ARG001 (a Give's signature)
    return ("--from", "-"), f"{secret}\n"


@pytest.mark.parametrize("give", [_file, _stdin])
def test_adopt_proves_and_stores(connected: Program, services: Services, by_hand: tuple[str, str], give: Give) -> None:
    client_id, secret = by_hand
    words, stdin = give(connected, secret)
    adopted = connected.run("adopt", "viewer", "--client-id", client_id, *words, "--yes", stdin=stdin)
    assert adopted.code == 0, adopted.err
    assert services.credential("viewer") == {"client_id": client_id, "client_secret": secret}
    assert secret not in adopted.out + adopted.err
    connected.call("apply", "--yes")
    assert connected.call("plan", "--detailed-exitcode").code == 0
    assert names(services) == ["Digital Twin Viewer", "Sensor Catalogue"]


def test_adopt_asks_for_the_secret_and_shows_nothing_of_it(
    connected: Program, services: Services, by_hand: tuple[str, str]
) -> None:
    client_id, secret = by_hand
    adopted = connected.on_terminal("adopt", "viewer", "--client-id", client_id, answers=[secret, "y"])
    assert adopted.code == 0, adopted.out
    assert secret not in adopted.out
    assert services.proves("viewer", VIEWER_URI)


def test_adopt_takes_what_is_stored_already(connected: Program, services: Services, by_hand: tuple[str, str]) -> None:
    client_id, secret = by_hand
    services.root.do("POST", "secret/data/nexus/viewer", {"data": {"client_id": client_id, "client_secret": secret}})
    assert connected.call("adopt", "viewer", "--client-id", client_id, "--yes").code == 0


def test_adopt_refuses_a_wrong_secret(connected: Program, services: Services, by_hand: tuple[str, str]) -> None:
    before = services.dump()
    client_id, secret = by_hand
    connected.write("secret.txt", secret[::-1])
    refused = connected.call("adopt", "viewer", "--client-id", client_id, "--from", "secret.txt", "--yes")
    assert refused.code == 1
    assert "Nexus does not take that secret, so nothing was stored" in refused.out
    way_on = f"registrar adopt viewer --client-id {client_id} --rotate"
    assert f"  → {way_on}\n" in refused.out
    assert services.dump() == before
    assert secret[::-1] not in refused.out + refused.err
    assert connected.call(*way_on.split()[1:], "--yes").code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "secret.txt has spaces"), (b"two words", "spaces"), (b"\xff\xfe", "it is no text"), (None, "No such file")],
)
def test_adopt_refuses_what_is_no_secret(
    connected: Program, services: Services, by_hand: tuple[str, str], content: bytes | None, said: str
) -> None:
    before = services.dump()
    if content is not None:
        connected.write("secret.txt", content)
    refused = connected.call("adopt", "viewer", "--client-id", by_hand[0], "--from", "secret.txt", "--yes")
    assert refused.code == 64
    assert said in refused.err
    assert services.dump() == before


def test_adopt_has_nobody_to_ask(connected: Program, by_hand: tuple[str, str]) -> None:
    refused = connected.run("adopt", "viewer", "--client-id", by_hand[0], "--yes")
    assert refused.code == 64
    assert "  → --from FILE, or --from - for standard input\n" in refused.err


def test_adopt_without_the_secret(connected: Program, services: Services, by_hand: tuple[str, str]) -> None:
    adopted = connected.call("adopt", "viewer", "--client-id", by_hand[0], "--rotate", "--grace", "0", "--yes")
    assert adopted.code == 0
    assert names(services) == ["Digital Twin Viewer"]
    assert services.proves("viewer", VIEWER_URI)


def test_take_over(applied: Program, services: Services) -> None:
    applied.write("registrar.yaml", CONFIG.replace("twin", "new"))
    blocked = applied.call("apply", "--yes")
    assert blocked.code == 1
    assert "→ registrar adopt viewer --take-over" in blocked.out
    for name in ("viewer", "sensor-catalogue"):
        assert applied.call("adopt", name, "--take-over", "--yes").code == 0
    assert applied.call("plan", "--detailed-exitcode").code == 0
    assert services.records()["nexus/viewer"]["metadata"]["custom_metadata"]["set"] == "new"


# ── recover ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lock_whose_holder_is_gone_is_told(connected: Program, services: Services) -> None:
    with contextlib.closing(Vault(services.running.vault_addr, token=Secret(services.running.vault_token))) as vault:
        lock.take(vault, holder="the night shift", domain=lambda: "", lease_s=1)  # and never heard of again
    told = connected.call("recover", "--yes")
    assert told.code == 0
    assert "Taking over the lock of a run that has stopped: the night shift\n" in told.err
    assert told.out == "Nothing to recover: no run has left anything half done.\n"
