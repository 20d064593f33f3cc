"""`flow`: the whole way through browser, callback, exchange and API, and what it says where the way ends early."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from registrar.policy import Role, grants, hcl
from tests import web
from tests.cli import browser
from tests.cli.program import Answer, Program, Result
from tests.cli.services import Services
from tests.contract.wire import unused_port
from tests.documents import validated

SECRET = re.compile(r"[A-Za-z0-9_-]{86}")


@pytest.fixture
def redirect_uri() -> str:
    with unused_port() as port:
        pass
    return f"http://127.0.0.1:{port}/oauth/callback"


@pytest.fixture
def developer(connected: Program, services: Services, redirect_uri: str) -> Program:
    """An application is registered, and the program has nothing but the right to read its credential."""
    registered(connected, redirect_uri)
    for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET"):
        del connected.environ[name]
    policy = hcl(grants(Role.DEVELOPER, "secret", "nexus", paths=("viewer",)))
    connected.environ["VAULT_TOKEN"] = services.root.token(policy, "nexus").reveal()
    return connected


def registered(program: Program, redirect_uri: str) -> None:
    program.write(
        "apps.yaml", f"apps:\n- {{name: Viewer, redirect_uri: '{redirect_uri}', owner_email: a@example.org}}\n"
    )
    done = program.call("apply", "apps.yaml", "--yes")
    assert done.code == 0, done.err


def opens(program: Program, how: str) -> None:
    """Whoever opens a browser gets one whose user does this."""
    program.environ["BROWSER"] = f"{sys.executable} {Path(browser.__file__)} {how} %s"


def flow(program: Program, *words: str, how: str = "signs-in") -> Result:
    opens(program, how)
    return program.run("flow", "viewer", *words)


def leaks(result: Result, services: Services, *but: str) -> set[str]:
    """What of the credential, and of any token or key, a result shows."""
    stored = services.credential("viewer")["client_secret"]
    text = result.out + result.err
    for allowed in but:
        text = text.replace(allowed, "")
    found = {*SECRET.findall(text), *re.findall(r"eyJ[\w-]+\.[\w-]+", text)}
    return found | ({stored} if stored in text else set())


def keys(services: Services) -> int:
    """How many API keys the user who signs in has."""
    nexus, account = services.running.nexus_url, services.running.user
    body = {"apiKey": account.api_key, "apiSecret": account.api_secret}
    token = web.post(f"{nexus}/api/v1/oauth/tokens", json=body).text.strip('"')
    found = web.get(f"{nexus}/api/v1/oauth/keys", headers={"authorization": f"Bearer {token}"})
    return len(found.json())


def test_all_the_way(developer: Program, services: Services, redirect_uri: str) -> None:
    before = keys(services)
    result = flow(developer, "-v")
    assert result.code == 0, result.err
    steps = re.findall(r"^(\d)  (\S+(?: up)?)", result.err, re.MULTILINE)
    assert steps == [
        ("1", "check"), ("2", "authorize"), ("3", "callback"), ("4", "exchange"), ("5", "call"), ("6", "clean up"),
    ]  # fmt: skip
    assert f"GET {redirect_uri}?code=********&state=********" in result.err
    assert "client_secret=********" in result.err
    assert "/users/current answered 200" in result.out
    assert "registrar exec viewer -- CMD" in result.out
    assert leaks(result, services) == set()
    assert keys(services) == before


def test_as_a_document(developer: Program, services: Services, redirect_uri: str) -> None:
    result = flow(developer, "-o", "json", "--expiration", "30")
    assert result.code == 0, result.err
    found = result.document
    assert (found["kind"], found["path"], found["redirect_uri"]) == ("flow", "viewer", redirect_uri)
    assert found["client_id"] == services.credential("viewer")["client_id"]
    assert [step["step"] for step in found["steps"]][-2:] == ["call", "clean up"]
    claims = found["token"]["claims"]
    assert claims["exp"] - claims["iat"] == 30 * 60
    assert claims["apiKey"] == "********"
    assert found["token"]["ended"] is True
    assert "access_token" not in found["token"]
    assert found["call"] == {"path": "/api/v1/users/current", "status": 200}
    assert leaks(result, services) == set()


def test_the_token_lives_where_it_was_asked_for(developer: Program, services: Services) -> None:
    result = flow(developer, "-o", "json", "--show-token")
    token = result.document["token"]
    assert token["ended"] is False
    current = f"{services.running.nexus_url}/api/v1/users/current"
    answer = web.get(current, headers={"authorization": f"Bearer {token['access_token']}"})
    assert answer.status_code == 200
    assert leaks(result, services, token["access_token"]) == set()
    text = flow(developer, "--show-token")
    assert re.search(r"^eyJ\S+$", text.out, re.MULTILINE)


def test_the_token_of_a_flow_is_ended(developer: Program, services: Services) -> None:
    """By the deletion of the API key that the exchange has left."""
    assert flow(developer).code == 0
    assert services.nexus
    deleted = [one for one in services.nexus.seen if one.method == "DELETE"]
    assert len(deleted) == 1


def test_another_endpoint_or_none(developer: Program) -> None:
    missing = flow(developer, "--call", "/no/such/endpoint")
    assert missing.code == 1
    assert "there is no such endpoint" in missing.err
    whole = flow(developer, "--call", "/api/v2/users/current")
    assert (whole.code, "/api/v2/users/current answered 200" in whole.out) == (0, True)
    none = flow(developer, "--call", "")
    assert (none.code, "answered" in none.out) == (0, False)


def test_whoever_said_no(developer: Program) -> None:
    result = flow(developer, how="refuses")
    assert result.code == 1
    assert "the user, or Nexus for them, said no" in result.err


def test_a_stray_callback_is_told_and_waited_on(developer: Program) -> None:
    result = flow(developer, how="strays")
    assert result.code == 0
    assert "a callback came with another state than was sent" in result.err
    assert "still waiting" in result.err


def test_nobody_comes_back(developer: Program) -> None:
    result = flow(developer, "--wait", "0.3", how="leaves")
    assert result.code == 1
    assert "nobody came back to http://127.0.0.1" in result.err
    assert "--wait SECONDS" in result.err


def test_a_taken_port_is_told_before_anything_is_asked(developer: Program, redirect_uri: str) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(redirect_uri.split(":")[2].split("/")[0])))
        taken.listen()
        result = flow(developer)
    assert result.code == 64
    assert "nothing can listen on 127.0.0.1 port" in result.err
    assert "--paste" in result.err
    assert "authorize" not in result.err


@pytest.mark.parametrize(
    ("redirect_uri", "told"),
    [
        ("https://viewer.example.org/cb", "the redirect URI is at viewer.example.org, and not on this machine"),
        ("https://127.0.0.1:8443/cb", "the redirect URI is https"),
    ],
)
def test_where_nothing_can_listen_it_is_pasted(developer: Program, told: str) -> None:
    result = flow(developer)
    assert result.code == 64
    assert told in result.err
    assert "--paste" in result.err


@pytest.mark.parametrize("redirect_uri", ["https://viewer.example.org/cb"])
def test_pasting(developer: Program, services: Services) -> None:
    """The first address is another sign-in's, the second ours; neither is echoed."""
    shown: list[str] = []
    link = re.compile(r"http://\S+/api/oauth/authorize\?\S+")

    def ours() -> str:
        with web.client() as client:
            pasted = browser.visit(client, link.findall("".join(shown))[-1], short_of="https://viewer.example.org")
        assert pasted.startswith("https://viewer.example.org:443/cb?code=")  # as Nexus spells it
        return pasted

    answers: list[Answer] = ["https://viewer.example.org/cb?code=c&state=s", ours]
    result = developer.on_terminal("flow", "viewer", "--paste", answers=answers, shown=shown)
    assert result.code == 0, result.out
    assert "it is not the answer to this sign-in; try again" in result.out
    assert not re.search(r"code=[\w-]{8}", result.out)
    assert leaks(result, services) == set()


@pytest.mark.parametrize("redirect_uri", ["https://viewer.example.org/cb"])
def test_a_pasted_address_of_elsewhere(developer: Program) -> None:
    result = developer.on_terminal(
        "flow", "viewer", "--paste", answers=["https://viewer.example.org/other?code=c&state=s"]
    )
    assert result.code == 1
    assert "the browser came back to https://viewer.example.org/other" in result.out
    assert "the registered redirect URI is https://viewer.example.org/cb" in result.out


def test_what_cannot_work_is_told_before_anybody_signs_in(developer: Program, services: Services) -> None:
    services.root.do(
        "POST", "secret/data/nexus/viewer", {"data": {**services.credential("viewer"), "client_secret": "x" * 86}}
    )
    result = flow(developer)
    assert result.code == 1
    assert "Nexus refuses what is stored: the client secret is wrong" in result.err
    assert "authorize" not in result.err


def test_a_record_without_facts(developer: Program, services: Services) -> None:
    services.root.do("POST", "secret/metadata/nexus/viewer", {"custom_metadata": {"owner": "somebody"}})
    result = flow(developer)
    assert result.code == 1
    assert "no facts of ours tell its redirect URI" in result.err


def test_the_secret_goes_to_the_records_own_nexus_alone(developer: Program) -> None:
    developer.environ["NEXUS_URL"] = "http://127.0.0.1:9"
    result = flow(developer)
    assert result.code == 1
    assert "its record was made for" in result.err
    assert "check --target" in result.err


def test_an_archived_application(developer: Program, services: Services) -> None:
    services.set_archived("Viewer")
    result = flow(developer)
    assert result.code == 1
    assert "no living application has this client id" in result.err


def test_without_a_window_the_link_is_printed(developer: Program) -> None:
    """And a browser that somebody opens by hand comes back all the same."""
    developer.environ.pop("BROWSER", None)
    process = developer.start("flow", "viewer", "-o", "json")
    assert process.stderr and process.stdout
    line = ""
    while "/api/oauth/authorize?" not in line or line.startswith("2"):
        line = process.stderr.readline()
        assert line
    browser.main("signs-in", line.strip())
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert validated(json.loads(out))["kind"] == "flow"


def test_in_the_sandbox(program: Program, redirect_uri: str) -> None:
    program.write("apps.yaml", f"apps:\n- {{name: Viewer, redirect_uri: '{redirect_uri}'}}\n")
    assert program.call("--sandbox", "apply", "apps.yaml", "--yes").code == 0
    opens(program, "signs-in")
    result = program.run("--sandbox", "flow", "viewer")
    assert result.code == 0, result.err
    assert "/users/current answered 200" in result.out
