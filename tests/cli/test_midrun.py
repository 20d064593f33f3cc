"""What happens to a run when a service gives out in its middle: it stops, tells what was done, and nothing is lost."""

from __future__ import annotations

import json
import time

import pytest

from registrar.secret import Secret
from tests.cli.manifests import many, uri
from tests.cli.program import Program, Result
from tests.cli.services import Services
from tests.custody import proxy

COUNT = 12
REVOKED_AFTER = 4


def applied(program: Program, *words: str) -> Result:
    return program.run("apply", "apps.yaml", "--yes", "--parallelism", "2", *words)


def child(services: Services, **options: object) -> Secret:
    """A token of its own, which root can end."""
    return services.root.raw_token({"policies": ["root"], "ttl": "1h"} | options)[1]


def revoking(services: Services, token: Secret) -> None:
    """End the token when so many credentials are stored."""
    assert services.vault
    stored: list[str] = []

    def count(exchange: proxy.Exchange, answer: proxy.Answer) -> None:
        if exchange.method == "POST" and "/data/nexus/app-" in exchange.path and answer.status == 200:
            stored.append(exchange.path)
            if len(stored) == REVOKED_AFTER:
                services.root.do("POST", "auth/token/revoke", {"token": token.reveal()})

    services.vault.after = count


def assert_whole(program: Program, services: Services) -> None:
    """The next apply needs no flag, and then every application has one registration whose credential is right."""
    program.environ["VAULT_TOKEN"] = services.running.vault_token
    assert applied(program).code == 0
    planned = program.call("plan", "apps.yaml", "--detailed-exitcode")
    assert planned.code == 0, planned.out
    assert len(services.registered()) == COUNT
    assert all(services.proves(f"app-{number}", uri(number)) for number in range(COUNT))


@pytest.fixture
def declared(connected: Program) -> Program:
    connected.write("apps.yaml", many(COUNT))
    return connected


def test_a_vault_token_that_ends_stops_the_run_with_what_was_done(declared: Program, services: Services) -> None:
    token = child(services)
    declared.environ["VAULT_TOKEN"] = token.reveal()
    revoking(services, token)
    result = applied(declared, "--output", "json")
    outcomes = [outcome["status"] for outcome in result.document["outcomes"]]
    assert result.code in (1, 7), result.err
    assert "the token has ended or was revoked" in result.err
    assert set(outcomes) <= {"done", "failed", "skipped"}
    assert outcomes.count("done") >= 1
    assert outcomes.count("skipped") >= COUNT - REVOKED_AFTER - 4, "none is begun once it is known"
    assert token.reveal() not in result.out + result.err
    assert_whole(declared, services)


def test_a_sealed_vault_stops_the_run(declared: Program, services: Services) -> None:
    assert services.vault
    sealed = proxy.say(503, b'{"errors":["Vault is sealed"]}')
    services.vault.on("POST", "/data/nexus/app-", sealed, skip=REVOKED_AFTER, times=99)
    result = applied(declared)
    assert result.code in (1, 7)
    assert "Vault is sealed" in result.err + result.out
    services.vault._rules.clear()
    assert_whole(declared, services)


def test_a_login_outlives_the_token_it_got(declared: Program, services: Services) -> None:
    """A 403 to a dead token has done nothing, so the run logs in again and goes on."""
    assert services.vault
    tokens = [child(services) for _ in range(2)]
    given: list[Secret] = []

    def log_in(_proxy: proxy.Proxy, exchange: proxy.Exchange) -> proxy.Answer:
        assert json.loads(exchange.body) == {"role_id": "r1", "secret_id": "canary-secret-id"}
        given.append(tokens[len(given)])
        auth = {"client_token": given[-1].reveal(), "lease_duration": 3600, "renewable": True}
        return proxy.Answer(200, json.dumps({"auth": auth}).encode())

    services.vault.on("POST", "/v1/auth/approle/login$", log_in, times=2)
    revoking(services, tokens[0])
    declared.environ.pop("VAULT_TOKEN")
    declared.environ |= {"VAULT_ROLE_ID": "r1", "VAULT_SECRET_ID": "canary-secret-id"}
    result = applied(declared, "--vault-auth", "approle", "-v")
    assert result.code == 0, result.err
    assert len(given) == 2
    assert "canary" not in result.out + result.err
    for token in tokens:
        assert token.reveal() not in result.out + result.err
        assert services.root.call("POST", "auth/token/lookup", {"token": token.reveal()})[0] == 403, "given back"
    assert_whole(declared, services)


def test_a_token_that_will_not_live_through_the_run_is_refused_before_the_first_effect(
    declared: Program, services: Services
) -> None:
    declared.environ["VAULT_TOKEN"] = child(services, ttl="40s", renewable=False).reveal()
    began = time.monotonic()
    result = applied(declared)
    assert result.code == 3
    left = int(40 - (time.monotonic() - began))
    assert any(f"ends in {left_s} s, and this run may need 66 s" in result.err for left_s in range(left - 2, 41))
    assert services.registered() == []
