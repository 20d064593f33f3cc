"""The example: written by the command, run as a developer runs it, and signed in to by a browser."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import httpx
import pytest

import registrar
from registrar.cli.init import _EXAMPLE
from tests import web
from tests.cli.example import NAME, Browser, Example, written
from tests.cli.program import Program
from tests.cli.services import Services
from tests.custody.proxy import reset, say

SOURCE = Path(registrar.__file__).parent / "example"
REASONS = (
    "Invalid authorization code",
    "Authorization code has already been used",
    "Authorization code has expired",
    "Authorization attempt with invalid client_id: abc",
    "Token exchange attempt with mismatched client_id. Expected application ID: 1, Got: 2",
    "Token exchange attempt with unknown redirect_uri: http://127.0.0.1/x",
    "Token exchange attempt with invalid client_secret for client_id: abc",
    "State validation failed",
    "State parameter mismatch - possible CSRF attack",
    "Token exchange attempt with missing userId: 0",
)
"""What the exchange says when it refuses."""

NOBODY = "Nobody is signed in"
NOT_OURS = "This answer is to no sign-in of this browser"


@pytest.fixture
def example(connected: Program, services: Services) -> Iterator[Example]:
    with written(connected, services) as found:
        yield found


@pytest.fixture
def browser(example: Example) -> Iterator[Browser]:
    """A browser, and the application that it opens."""
    with example.running(), Browser(example) as opened:
        yield opened


def tokens(example: Example) -> list[str]:
    """The tokens that Nexus has made for it, the first first."""
    return [secret for secret, what in example.canary.planted.items() if what == "a token"]


def asked(example: Example, method: str, path: str, token: str) -> int:
    """The status of what the API answers to a token."""
    url = f"{example.services.running.nexus_url}/api/v1{path}"
    return web.request(method, url, headers={"Authorization": f"Bearer {token}"}).status_code


def claims(token: str) -> dict[str, str]:
    payload = token.split(".")[1]
    found = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert isinstance(found, dict)
    return found


# ── writing it ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_written_and_what_is_next_is_said(program: Program) -> None:
    done = program.call("init", "example", "my viewer")
    assert (done.code, done.out) == (0, "")
    folder = program.folder / "my viewer"
    assert {name: (folder / name).read_bytes() for name in _EXAMPLE} == {
        name: (SOURCE / name).read_bytes() for name in _EXAMPLE
    }
    assert {file for file in folder.rglob("*") if file.is_file()} == {folder / name for name in _EXAMPLE}
    commands = [line.strip() for line in done.err.splitlines() if line.startswith("  ")]
    assert commands == [
        "cd 'my viewer'",
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        "registrar apply application.yaml",
        "registrar exec example -- .venv/bin/python app.py",
    ]


def test_its_manifest_is_valid(program: Program) -> None:
    program.call("init", "example", ".")
    checked = program.call("validate", "application.yaml")
    assert (checked.code, checked.err + checked.out) == (0, "1 application in 1 file: valid\n")


def test_nothing_is_written_over_unless_told_to(program: Program) -> None:
    mine = program.write("viewer/mine.txt", "mine")
    refused = program.call("init", "example", "viewer")
    assert (refused.code, list(mine.parent.iterdir())) == (64, [mine])
    assert refused.err == (
        "registrar: viewer is not empty\n"
        "  → name another folder, or write over its files of the same names with --force\n"
    )
    elsewhere = program.write("elsewhere.py", "theirs")
    (mine.parent / "app.py").symlink_to(elsewhere)
    assert program.call("init", "example", "viewer", "--force").code == 0
    assert (mine.read_text(), elsewhere.read_text()) == ("mine", "theirs")
    assert (mine.parent / "app.py").read_bytes() == (SOURCE / "app.py").read_bytes()


def test_a_place_that_takes_no_files(program: Program) -> None:
    program.write("file", "mine")
    assert program.call("init", "example", "file").code == 64
    below = program.call("init", "example", "file/below")
    assert (below.code, below.err) == (
        64,
        "registrar: file/below cannot be written: Not a directory\n  → name another folder\n",
    )
    program.write("viewer/app.py/mine.txt", "mine")
    assert program.call("init", "example", "viewer", "--force").code == 64


def test_init_alone_is_its_help(program: Program) -> None:
    told = program.call("init")
    assert (told.code, told.out) == (64, "")
    assert "example  Write a small Flask application" in told.err


def test_the_wheel_has_all_of_it(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=SOURCE.parents[1], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as opened:
        packed = {name: opened.read(name) for name in opened.namelist() if name.startswith("registrar/example/")}
    assert packed == {f"registrar/example/{name}": (SOURCE / name).read_bytes() for name in _EXAMPLE}


# ── signing in and out ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_user_signs_in_sees_who_they_are_and_signs_out(example: Example, browser: Browser) -> None:
    assert NOBODY in browser.get("/").text
    home = browser.sign_in()
    (token,) = tokens(example)
    assert f"Signed in as <strong>{claims(token)['name']}</strong>" in home
    me = browser.get("/me")
    assert me.status_code == 200
    assert f"<th>email</th><td>{claims(token)['name']}</td>" in me.text
    assert "<th>isSysAdmin</th>" in me.text
    assert asked(example, "GET", "/users/current", token) == 200
    out = browser.post("/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/")
    assert browser.cookie == "", "the cookie is deleted as well"
    assert NOBODY in browser.get("/").text
    assert example.kept() == []
    assert asked(example, "GET", "/users/current", token) == 401, "its API key is deleted, and it ends with that"


LOUD = """
import logging, runpy
logging.basicConfig(level=logging.DEBUG)
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.mark.parametrize("words", [(), ("-c", LOUD)], ids=["as it is", "with everything logged"])
def test_no_secret_is_in_a_file_a_page_a_cookie_or_the_log(words: tuple[str, ...], example: Example) -> None:
    with example.running(*words), Browser(example) as browser:
        callback = browser.to_callback()
        pages = [browser.get(path).text for path in (callback, "/", "/me", callback)]
        cookie = browser.cookie
        browser.post("/logout")
    (token,) = tokens(example)
    example.canary.plant(claims(token)["apiKey"], "the API key of a token")
    example.canary.plant(parse_qs(urlsplit(callback).query)["code"][0], "a code")
    held = json.loads(base64.urlsafe_b64decode(cookie.split(".")[0] + "=="))
    assert list(held) == ["user"]
    assert example.leaks(*pages, cookie, json.dumps(held)) == set()
    assert '"GET /oauth/callback HTTP/1.1" 302' in example.log, "the path is logged, and no more"
    assert example.leaks(callback) == {"a code in a text"}, "the search sees what it looks for"


def test_tokens_are_encrypted_where_they_are_kept(example: Example, browser: Browser) -> None:
    browser.sign_in()
    (token,) = tokens(example)
    example.canary.plant(claims(token)["apiKey"], "the API key of a token")
    assert example.leaks() == set()
    found = b"".join(file.read_bytes() for file in (example.folder / "instance").iterdir())
    assert token.encode() not in found
    assert example.kept()[0][0].encode() in found, "the file that is read has the session"


def test_what_it_keeps_is_for_its_owner_alone(example: Example, browser: Browser) -> None:
    browser.sign_in()
    folder = example.folder / "instance"
    rights = {file.name: file.stat().st_mode & 0o777 for file in (folder, *folder.iterdir())}
    assert rights == {"instance": 0o700, "secret_key": 0o600, "sessions.sqlite3": 0o600}


def test_the_authorize_url_has_its_parameters_encoded_and_a_new_state_each_time(
    example: Example, browser: Browser
) -> None:
    locations = [browser.get("/login").headers["location"] for _ in range(2)]
    states = [parse_qs(urlsplit(location).query)["state"][0] for location in locations]
    assert len({*states}) == 2
    assert min(map(len, states)) >= 43
    query = {
        "client_id": example.environ["NEXUS_CLIENT_ID"],
        "redirect_uri": example.redirect_uri,
        "state": states[0],
    }
    assert locations[0] == f"{example.environ['NEXUS_AUTHORIZE_URL']}?{urlencode(query)}"
    assert quote(example.redirect_uri, safe="") in locations[0]


def test_cookies_and_pages_are_guarded(browser: Browser) -> None:
    answer = browser.get("/login")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("nexus-example=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} == {part.strip() for part in cookie.split(";")[1:]}
    for answer in (browser.get("/"), browser.get("/nowhere"), browser.get("/oauth/callback")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "http://" not in answer.text, "nothing from elsewhere"


def test_behind_https_the_cookie_is_sent_over_https_alone(example: Example) -> None:
    uri = "https://viewer.example.org/oauth/callback"
    with (
        example.running("-m", "flask", "run", "--port", example.port, NEXUS_REDIRECT_URI=uri),
        Browser(example) as browser,
    ):
        answer = browser.get("/login")
        assert "Open <a" not in browser.get("/").text, "a web server in front may call it anything"
    assert answer.headers["set-cookie"].startswith("__Host-nexus-example=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} == {
        part.strip() for part in answer.headers["set-cookie"].split(";")[1:]
    }
    assert "Nexus sends users to port" not in example.log


def test_version_2_answers_with_the_token_alone(example: Example) -> None:
    example.environ["NEXUS_EXCHANGE_URL"] = example.environ["NEXUS_EXCHANGE_URL"].replace("/v1/", "/v2/")
    with example.running(), Browser(example) as browser:
        assert "Signed in as" in browser.sign_in()
        assert "<th>email</th>" in browser.get("/me").text
        browser.post("/logout")
    assert example.services.nexus
    exchange, delete = example.services.nexus.effects()[-2:]
    assert exchange == "POST /api/v2/oauth/exchange"
    assert delete.startswith("DELETE /api/v2/oauth/keys/")
    assert asked(example, "GET", "/users/current", tokens(example)[0]) == 401


def test_signing_in_again_ends_the_token_of_before(example: Example, browser: Browser) -> None:
    browser.sign_in()
    browser.sign_in()
    first, second = tokens(example)
    assert len(example.kept()) == 1
    assert asked(example, "GET", "/users/current", first) == 401
    assert asked(example, "GET", "/users/current", second) == 200


def test_a_restart_signs_nobody_out(example: Example) -> None:
    with Browser(example) as browser:
        with example.running():
            browser.sign_in()
        with example.running():
            assert "Signed in as" in browser.get("/").text
            assert browser.get("/me").status_code == 200
        with example.running(APP_SECRET_KEY="k" * 32):
            assert NOBODY in browser.get("/").text, "another key"


# ── the state ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(example: Example, answer: httpx.Response, what: str) -> None:
    """It says so, keeps nothing of it, and has asked Nexus for nothing."""
    assert (answer.status_code, what in answer.text) == (400, True), answer.text
    assert example.services.nexus
    assert not [effect for effect in example.services.nexus.effects() if "/api/v1/oauth/exchange" in effect]


@pytest.mark.parametrize("state", ["", "wrong", "é"])
def test_a_wrong_state_is_refused_and_the_right_one_is_used_up_by_it(
    state: str, example: Example, browser: Browser
) -> None:
    right = browser.to_callback()
    query = {**{name: values[0] for name, values in parse_qs(urlsplit(right).query).items()}, "state": state}
    refused(example, browser.get(f"/oauth/callback?{urlencode(query)}"), NOT_OURS)
    refused(example, browser.get(right), NOT_OURS)
    assert NOBODY in browser.get("/").text


def test_a_callback_is_good_in_the_browser_that_began_and_once(example: Example, browser: Browser) -> None:
    callback = browser.to_callback()
    with Browser(example) as victim:
        refused(example, victim.get(callback), NOT_OURS)
        victim.get("/login")
        refused(example, victim.get(callback), NOT_OURS)
    before = browser.cookie
    assert browser.get(callback).status_code == 302
    assert browser.cookie != before
    again = browser.get(callback)
    assert (again.status_code, NOT_OURS in again.text) == (400, True)
    assert "Signed in as" in browser.get("/").text, "who is signed in stays so"
    with Browser(example) as thief:
        thief.http.cookies.set("nexus-example", before)
        assert NOBODY in thief.get("/").text, "what was known before the sign-in is worth nothing after it"
        assert NOT_OURS in thief.get(callback).text
    assert len(tokens(example)) == 1


def test_a_sign_in_that_takes_too_long(example: Example, browser: Browser) -> None:
    callback = browser.to_callback()
    example.kept("UPDATE kept SET ends = 0")
    refused(example, browser.get(callback), NOT_OURS)


def test_a_user_who_says_no(example: Example, browser: Browser) -> None:
    for said, shown in (
        ({"error": "access_denied"}, "access_denied"),
        ({"error": "<b>"}, "&lt;b&gt;"),
        ({}, "nothing"),
    ):
        state = parse_qs(urlsplit(browser.to_callback()).query)["state"][0]
        answer = browser.get(f"/oauth/callback?{urlencode({**said, 'state': state})}")
        refused(example, answer, f"It says: {shown}")


def test_a_tampered_cookie_is_nobodys(example: Example, browser: Browser) -> None:
    browser.sign_in()
    payload, stamp, signature = browser.cookie.split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"user": example.kept()[0][0]}).encode()).decode().rstrip("=")
    for cookie in (f"{payload}.{stamp}.{signature[::-1]}", f"{forged}.{stamp}.{'A' * len(signature)}", "x"):
        with Browser(example) as other:
            other.http.cookies.set("nexus-example", cookie)
            assert NOBODY in other.get("/").text
            assert other.get("/me").headers["location"] == "/login"
            other.post("/logout")
    assert "Signed in as" in browser.get("/").text


def test_a_link_signs_nobody_out(browser: Browser) -> None:
    browser.sign_in()
    assert browser.get("/logout").status_code == 405
    assert "Signed in as" in browser.get("/").text


# ── what Nexus refuses ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_code_that_was_used_is_explained(example: Example, browser: Browser) -> None:
    callback = browser.to_callback()
    query = {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}
    names = ("client_id", "client_secret", "redirect_uri")
    query |= {name: example.environ[f"NEXUS_{name.upper()}"] for name in names}
    assert web.post(f"{example.services.running.nexus_url}/api/v1/oauth/exchange", params=query).status_code == 200
    answer = browser.get(callback)
    assert answer.status_code == 400
    assert "Authorization code has already been used" in answer.text
    assert "A code works once" in answer.text


def test_an_application_that_is_archived_meanwhile_is_explained(example: Example, browser: Browser) -> None:
    callback = browser.to_callback()
    example.services.set_archived(NAME)
    answer = browser.get(callback)
    assert (answer.status_code, "The application was archived" in answer.text) == (400, True)
    assert NOBODY in browser.get("/").text


def test_a_secret_that_is_not_this_client_id_s_is_explained(example: Example) -> None:
    example.canary.plant(secret := "wrong" * 17 + "x", "the wrong secret")
    with example.running(NEXUS_CLIENT_SECRET=secret), Browser(example) as browser:
        answer = browser.get(browser.to_callback())
    assert (answer.status_code, "Was it rotated?" in answer.text) == (400, True)
    assert example.leaks(answer.text) == set()


def test_every_reason_of_a_refusal_is_explained_in_both_versions(example: Example, browser: Browser) -> None:
    assert example.services.nexus
    for reason in REASONS:
        for body in ({"error": "invalid_grant", "error_description": reason}, {"title": "x", "detail": reason}):
            example.services.nexus.on("POST", "/oauth/exchange", say(400, json.dumps(body).encode()))
            answer = browser.get(browser.to_callback())
            assert answer.status_code == 400
            what, advice = shown(answer)
            assert reason.startswith(what.removeprefix("Nexus refuses the exchange: ").removesuffix(".")), reason
            assert len(advice) > 20


def shown(answer: httpx.Response) -> list[str]:
    """What a page says is wrong, and what to do."""
    note = answer.text.partition('<div class="note">')[2].partition("</div>")[0]
    return note.removeprefix("<p>").removesuffix("</p>").split("</p><p>")


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (500, b'"System.InvalidOperationException: at Secret.Place()"', "Nexus answers the exchange with status 500."),
        (404, b'{"title":"Not Found","detail":"The requested resource was not found."}', "with status 404."),
        (502, b"<html>", "with status 502."),
        (302, b"", "with status 302."),
        (200, b"<html>Sign in</html>", "What came back is no token."),
        (200, b'{"access_token": 1}', "What came back is no token."),
        (200, b'"a.e30.c"', "What came back is no token."),
    ],
)
def test_an_answer_that_is_not_understood_is_not_shown(
    status: int, body: bytes, what: str, example: Example, browser: Browser
) -> None:
    assert example.services.nexus
    example.services.nexus.on("POST", "/oauth/exchange", say(status, body, Location="http://127.0.0.1:9/"))
    answer = browser.get(browser.to_callback())
    assert (answer.status_code, what in shown(answer)[0]) == (502, True), answer.text
    assert "Secret.Place" not in answer.text + example.log
    assert example.leaks(answer.text) == set()


def test_nexus_away(example: Example, browser: Browser) -> None:
    proxy = example.services.nexus
    assert proxy
    proxy.on("POST", "/oauth/exchange", reset)
    answer = browser.get(browser.to_callback())
    assert (answer.status_code, "Nexus does not answer." in answer.text) == (502, True)
    browser.sign_in()
    proxy.on("GET", "/users/current", reset)
    assert browser.get("/me").status_code == 502
    proxy.on("GET", "/users/current", say(500, b'"System.Exception: at Secret.Place()"'))
    answer = browser.get("/me")
    assert (answer.status_code, "Secret.Place" in answer.text) == (502, False)
    assert "Signed in as" in browser.get("/").text
    proxy.on("DELETE", "/oauth/keys/", reset)
    assert browser.post("/logout").status_code == 303
    assert NOBODY in browser.get("/").text
    assert example.kept() == []
    example.wait_for("Nexus did not delete the API key")
    assert example.leaks(answer.text) == set()


# ── a token that is over ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_that_has_expired_means_signing_in_again(example: Example, browser: Browser) -> None:
    browser.sign_in()
    example.kept(f"UPDATE kept SET ends = {time.time()}")
    assert NOBODY in browser.get("/").text
    assert browser.get("/me").headers["location"] == "/login"
    with Browser(example) as other:
        assert "Signed in as" in other.sign_in()
    assert len(example.kept()) == 1, "what is over is deleted, whoever comes"
    assert "Signed in as" in browser.sign_in()


def test_a_token_is_over_a_minute_before_nexus_ends_it(example: Example, browser: Browser) -> None:
    browser.sign_in()
    ((_, _, ends),) = example.kept()
    assert ends == float(claims(tokens(example)[0])["exp"]) - 60


def test_a_clock_that_is_hours_off_is_said(example: Example, browser: Browser) -> None:
    assert example.services.nexus
    past = base64.urlsafe_b64encode(b'{"name": "n", "exp": 1000, "apiKey": "k"}').decode().rstrip("=")
    example.services.nexus.on("POST", "/oauth/exchange", say(200, f"a.{past}.c".encode()))
    answer = browser.get(browser.to_callback())
    assert (answer.status_code, "Compare the clock" in answer.text) == (502, True)
    assert example.kept() == []


def test_a_token_that_nexus_revoked_means_signing_in_again(example: Example, browser: Browser) -> None:
    browser.sign_in()
    assert asked(example, "DELETE", "/oauth/tokens/revoke", tokens(example)[0]) == 200
    assert "Signed in as" in browser.get("/").text, "nobody has asked Nexus yet"
    answer = browser.get("/me")
    assert (answer.status_code, answer.headers["location"]) == (302, "/login")
    assert example.kept() == []
    browser.sign_in()
    assert browser.get("/me").status_code == 200


def test_what_cannot_be_decrypted_is_not_there(example: Example, browser: Browser) -> None:
    browser.sign_in()
    example.kept("UPDATE kept SET value = x'00'")
    assert NOBODY in browser.get("/").text


# ── how it is started ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_exec_starts_it_and_someone_signs_in(example: Example, connected: Program) -> None:
    words = ("exec", "example", "--", sys.executable, "example/app.py")
    with example.watched(connected.start(*words, stderr=subprocess.STDOUT)), Browser(example) as browser:
        assert "Signed in as" in browser.sign_in()
        assert browser.get("/me").status_code == 200
    assert example.leaks() == set()


def test_settings_that_are_missing_are_named_with_what_sets_them(example: Example) -> None:
    del example.environ["NEXUS_CLIENT_SECRET"]
    for words in (("app.py",), ("-m", "flask", "run")):
        ended = example.refused(*words, NEXUS_REDIRECT_URI="")
        assert (ended.code, ended.out) == (
            1,
            "Not set: NEXUS_CLIENT_SECRET, NEXUS_REDIRECT_URI.\nThis sets them: registrar exec NAME -- python app.py\n",
        )


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"NEXUS_EXCHANGE_URL": "https://nexus.example.org/"}, "has to end in /oauth/exchange"),
        ({"NEXUS_REDIRECT_URI": "http://127.0.0.1:8080"}, "needs a path of its own"),
        ({"NEXUS_REDIRECT_URI": "http://127.0.0.1:8080/login"}, "needs a path of its own"),
        ({"NEXUS_REDIRECT_URI": "https://viewer.example.org/cb"}, "web server with TLS"),
        ({"APP_SECRET_KEY": "short"}, "The secret key is too short"),
    ],
)
def test_settings_that_cannot_work_end_it_at_once(environ: dict[str, str], told: str, example: Example) -> None:
    ended = example.refused(**environ)
    assert (ended.code, told in ended.out) == (1, True), ended
    assert example.leaks(ended.out) == set()


def test_flask_run_is_warned_where_nexus_sends_elsewhere(example: Example) -> None:
    with example.running("-m", "flask", "run", "--port", "0"):
        pass
    warning = f"Nexus sends users to port {example.port}. Use: flask run --host 127.0.0.1 --port {example.port}\n"
    assert warning in example.log
    with example.running("-m", "flask", "run", "--port", example.port), Browser(example) as browser:
        assert "Signed in as" in browser.sign_in()
    assert "Nexus sends users to port" not in example.log


def test_a_page_that_is_opened_elsewhere_says_where_it_works(example: Example, browser: Browser) -> None:
    elsewhere = browser.http.get(example.url, headers={"Host": f"localhost:{example.port}"}).text
    assert f'Open <a href="{example.url}/">' in elsewhere
    assert "Open <a" not in browser.get("/").text


def test_the_callback_is_where_the_redirect_uri_is(example: Example) -> None:
    uri = f"{example.url}/auth/nexus"
    with example.running(NEXUS_REDIRECT_URI=uri), Browser(example) as browser:
        assert browser.get("/auth/nexus").status_code == 400
        assert browser.get("/oauth/callback").status_code == 404
