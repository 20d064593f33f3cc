"""Nexus's frontend as a browser meets it: the sign-in page, its session, and the proxy to authorize."""

import base64
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from registrar import sandbox
from registrar.sandbox.nexus import STAGES
from registrar.sandbox.nexus_store import USERS, User
from tests.sandbox.browser import Browser, Page
from tests.sandbox.served import CALLBACK, Clock, Opener, Site

AUTHORIZE = "/api/oauth/authorize"
EVIL = '"><script>alert(1)</script><a href="//evil.example.org">'
HOUR_S = 3600

BrowserOpener = Callable[[Site], Browser]


@pytest.fixture
def browse() -> Iterator[BrowserOpener]:
    with contextlib.ExitStack() as stack:

        def opener(site: Site) -> Browser:
            browser = Browser(site.url)
            stack.callback(browser.close)
            return browser

        yield opener


def asked(made: dict[str, str], **more: str) -> dict[str, str]:
    return {"client_id": made["clientId"], "redirect_uri": CALLBACK, "state": "a b&c=d#e/é", **more}


def signs_in_as(site: Site, made: dict[str, str], location: str) -> str:
    """Whose token the code in a redirect to the application buys."""
    query = parse_qs(urlsplit(location).query)
    issued = site.exchange(made, query["code"][0], state=query["state"][0])
    token = issued.json()["access_token"] if site.version == "v1" else issued.text
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


# The way in and on


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("user", USERS, ids=lambda user: user.username)
def test_who_is_chosen_is_who_the_application_gets(
    open_site: Opener, browse: BrowserOpener, stage: str, user: User
) -> None:
    site = open_site(stage)
    browser, made = browse(site), site.create()
    sent = browser.get(AUTHORIZE, params=asked(made))
    assert sent.status_code == 307
    page = Page(browser.follow(sent))
    assert "viewer asks who you are" in page.text
    assert CALLBACK in page.text
    chosen = browser.press(page, user.name)
    assert chosen.status_code == 303
    went = browser.follow(chosen)
    assert went.status_code == 302
    assert went.headers["location"].startswith("https://viewer.example.org:443/cb?code=")
    assert parse_qs(urlsplit(went.headers["location"]).query)["state"] == ["a b&c=d#e/é"]
    assert signs_in_as(site, made, went.headers["location"]) == user.email


def test_the_way_back_is_one_encoded_parameter_of_an_absolute_url(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser = browse(site)
    query = "client_id=a%2Bb&state=x%26y%20z&state=%23&odd"
    location = urlsplit(browser.get(f"{AUTHORIZE}?{query}").headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == f"{site.url}/login/signin"
    assert location.query == f"returnUrl={quote(f'{AUTHORIZE}?{query}', safe='')}"
    assert browser.get(AUTHORIZE).headers["location"].endswith(f"returnUrl={quote(AUTHORIZE, safe='')}")


def test_a_second_application_gets_its_code_without_a_question(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser, made, other = browse(site), site.create(), site.create(name="other")
    browser.sign_in(3)
    for application in (made, other, other):
        went = browser.get(AUTHORIZE, params=asked(application))
        assert went.status_code == 302
        assert signs_in_as(site, application, went.headers["location"]) == "reviewer@example.test"
    assert browse(site).get(AUTHORIZE, params=asked(made)).status_code == 307


@pytest.mark.parametrize("stage", STAGES)
def test_what_the_backend_refuses_comes_as_its_json(open_site: Opener, browse: BrowserOpener, stage: str) -> None:
    site = open_site(stage)
    browser, made = browse(site), site.create()
    browser.sign_in()
    for more, status, error in (
        ({"client_id": "nope"}, 404, "invalid_client"),
        ({"redirect_uri": f"{CALLBACK}/"}, 400, "invalid_grant"),
    ):
        answer = browser.get(AUTHORIZE, params=asked(made, **more), headers={"accept": "text/html"})
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert answer.headers["content-type"] == "application/json"
        assert "api-supported-versions" not in answer.headers
    assert browser.get(AUTHORIZE, params=asked(made, state="")).json()["errors"] == {
        "state": ["The state field is required."]
    }


def test_of_twins_the_proxy_sends_the_last(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser, made = browse(site), site.create()
    browser.sign_in()
    query = urlencode(asked(made, state="first")) + "&state=last"
    assert browser.get(f"{AUTHORIZE}?{query}").headers["location"].endswith("&state=last")


def test_an_application_that_is_unknown_is_named_as_that_before_it_is_refused(
    open_site: Opener, browse: BrowserOpener
) -> None:
    site = open_site()
    browser, made = browse(site), site.create()
    site.admin.patch("/applications/1?archive=true")
    for client_id in (made["clientId"], "nope", ""):
        page = Page(browser.follow(browser.get(AUTHORIZE, params=asked(made, client_id=client_id))))
        assert "does not know, or that is archived" in page.text
        assert "asks who you are" not in page.text


def test_who_says_no_sends_nothing_and_is_not_signed_in(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser, made = browse(site), site.create()
    page = Page(browser.follow(browser.get(AUTHORIZE, params=asked(made))))
    answer = browser.press(page, "No, do not sign in")
    assert "set-cookie" not in answer.headers
    told = Page(answer)
    assert (told.status, told.title) == (200, "Nothing was sent · Nexus sandbox")
    assert "nothing was sent to viewer" in told.text
    assert "close this tab" in told.text
    assert browser.get(AUTHORIZE, params=asked(made)).status_code == 307
    with site.state.transaction() as db:
        assert db.execute("SELECT count(*) FROM nexus_code").fetchone()[0] == 0


# The session


def test_the_cookie_is_random_and_not_for_scripts_or_other_sites(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    cookies = [browse(site).post("/login/signin", {"user": "2"}).headers["set-cookie"] for _ in range(2)]
    for cookie in cookies:
        value, *attributes = cookie.split("; ")
        assert re.fullmatch(r"nexus_sandbox_session=[\w-]{43}", value)
        assert attributes == ["Max-Age=28800", "Path=/", "HttpOnly", "SameSite=Lax"]
    assert cookies[0] != cookies[1]


def test_the_cookie_opens_nothing_in_the_api(open_site: Opener, browse: BrowserOpener) -> None:
    browser = browse(open_site())
    browser.sign_in(1)
    assert browser.client.cookies
    assert browser.get("/api/v2/users/current").status_code == 401
    assert browser.get("/api/v2/oauth/applications").status_code == 401


def test_a_session_ends_after_eight_hours(open_site: Opener, browse: BrowserOpener) -> None:
    clock = Clock(time.time())
    site = open_site(clock=clock)
    browser, made = browse(site), site.create()
    browser.sign_in()
    clock.now += 8 * HOUR_S - 1
    assert browser.get(AUTHORIZE, params=asked(made)).status_code == 302
    clock.now += 2
    assert browser.get(AUTHORIZE, params=asked(made)).status_code == 307
    browse(site).sign_in()
    assert _sessions(site) == 1


def test_the_whole_sandbox_goes_by_the_clock_that_it_is_given() -> None:
    clock = Clock(time.time())
    with contextlib.ExitStack() as stack:
        running = sandbox.start(":memory:", nexus_port=0, vault_port=0, clock=clock)
        stack.callback(running.close)
        browser = stack.enter_context(contextlib.closing(Browser(running.nexus_url)))
        browser.sign_in()
        assert "Signed in: plain" in browser.page("/").text
        clock.now += 9 * HOUR_S
        assert "Sign in" in browser.page("/").links


def test_signing_in_anew_replaces_the_session(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser = browse(site)
    browser.sign_in(2)
    old = _cookie(browser)
    page = browser.page("/login/signin")
    assert "Signed in now: plain" in page.text
    browser.press(page, "reviewer")
    assert "Signed in: reviewer" in browser.page("/").text
    assert _sessions(site) == 1
    assert "Sign in" in browse(site).page("/", headers={"cookie": old}).links


def test_signing_out_ends_the_session_itself(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser = browse(site)
    browser.sign_in()
    cookie = _cookie(browser)
    answer = browser.press(browser.page("/"), "Sign out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"].startswith("nexus_sandbox_session=; Max-Age=0; Path=/")
    assert not browser.client.cookies
    assert "Sign in" in browser.page("/").links
    assert "Sign in" in browse(site).page("/", headers={"cookie": cookie}).links
    assert _sessions(site) == 0


def test_a_session_outlives_the_process_and_is_not_kept_in_clear(
    open_site: Opener, browse: BrowserOpener, tmp_path: Path
) -> None:
    path = tmp_path / "sandbox.db"
    first = open_site("v2", path)
    browser = browse(first)
    browser.sign_in(3)
    second = open_site("v2", path)
    page = browse(second).page("/", headers={"cookie": _cookie(browser)})
    assert "Signed in: reviewer" in page.text
    session = _cookie(browser).partition("=")[2]
    assert session.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_a_state_from_before_a_user_gets_the_user(open_site: Opener, browse: BrowserOpener, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    first = open_site("v2", path)
    with first.state.transaction() as db:
        db.execute("DELETE FROM nexus_api_key WHERE user_id = 3")
        db.execute("DELETE FROM nexus_user WHERE id = 3")
    assert browse(first).post("/login/signin", {"user": "3"}).status_code == 400
    browse(open_site("v2", path)).sign_in(3)


@pytest.mark.parametrize("user", ["", "0", "4", "-1", "plain", "1 OR 1", "٣", "9" * 30])
def test_who_is_not_listed_cannot_be_chosen(open_site: Opener, browse: BrowserOpener, user: str) -> None:
    answer = browse(open_site()).post("/login/signin", {"user": user})
    assert "set-cookie" not in answer.headers
    assert (Page(answer).status, Page(answer).title) == (400, "No such user · Nexus sandbox")


# Where a browser is sent, and by whom


@pytest.mark.parametrize(
    "return_url",
    [
        "https://evil.example.org/",
        "//evil.example.org/api/oauth/authorize",
        "/\\evil.example.org",
        "\\/evil.example.org",
        "javascript:alert(1)",
        "/",
        "/login/signin",
        "/api/oauth/authorize/../../login/signout",
        "/api/oauth/authorizer",
        "/api/oauth/authorize@evil.example.org",
        "/api/oauth/authorize#x",
        "/API/oauth/authorize?a=b",
        " /api/oauth/authorize",
        "api/oauth/authorize",
        "/api/oauth/authorize?a=b\r\nset-cookie: a=b",
        "/api/oauth/authorize?a=b\n",
        "/api/oauth/authorize?a=é",
        "/api/v2/oauth/authorize?a=b",
        "/oauth/device/verify/",
    ],
)
def test_nothing_but_the_two_pages_is_followed(open_site: Opener, browse: BrowserOpener, return_url: str) -> None:
    browser = browse(open_site())
    page = browser.page("/login/signin", params={"returnUrl": return_url})
    assert page.forms[0].fields == {"returnUrl": ""}
    assert "No, do not sign in" not in page.forms[0].buttons
    answer = browser.post("/login/signin", {"user": "2", "returnUrl": return_url})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"].startswith("nexus_sandbox_session=")


@pytest.mark.parametrize("return_url", [AUTHORIZE, f"{AUTHORIZE}?a=b", "/oauth/device/verify?user_code=A"])
def test_the_two_pages_are_followed(open_site: Opener, browse: BrowserOpener, return_url: str) -> None:
    browser = browse(open_site())
    page = browser.page("/login/signin", params={"returnUrl": return_url})
    assert browser.press(page, "plain").headers["location"] == return_url


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.org"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://127.0.0.1.evil.example.org"},
        {"origin": "", "referer": "https://evil.example.org/http://127.0.0.1/"},
        {"origin": "", "referer": "nonsense"},
        {"origin": ""},
    ],
    ids=lambda headers: "-".join(headers.values()) or "none",
)
@pytest.mark.parametrize("path", ["/login/signin", "/login/signout", "/oauth/device/verify"])
def test_another_sites_form_is_refused(
    open_site: Opener, browse: BrowserOpener, path: str, headers: dict[str, str]
) -> None:
    site = open_site()
    browser = browse(site)
    browser.sign_in(2)
    answer = browser.post(path, {"user": "1", "user_code": "AAAA-AAAA", "answer": "approve"}, **headers)
    assert Page(answer).status == 403
    assert "set-cookie" not in answer.headers
    assert "Signed in: plain" in browser.page("/").text


def test_a_form_may_show_its_origin_by_referer_alone(open_site: Opener, browse: BrowserOpener) -> None:
    browser = browse(open_site())
    referer = f"{browser.url}/login/signin?returnUrl=x"
    assert browser.post("/login/signin", {"user": "2"}, origin="", referer=referer).status_code == 303


@pytest.mark.parametrize("path", ["/", "/login/signin", AUTHORIZE, "/oauth/device/verify"])
def test_a_name_that_was_turned_to_this_address_gets_no_page(
    open_site: Opener, browse: BrowserOpener, path: str
) -> None:
    site = open_site()
    browser, port = browse(site), urlsplit(site.url).port
    browser.sign_in()
    for host in (f"evil.example.org:{port}", f"127.0.0.1.evil.example.org:{port}", "localhost@evil.example.org"):
        page = browser.page(path, headers={"host": host})
        assert (page.status, page.title) == (421, "Not at this address · Nexus sandbox")
    for host in (f"localhost:{port}", f"LOCALHOST:{port}", "127.0.0.1", f"[::1]:{port}"):
        assert browser.get(path, headers={"host": host}).status_code != 421


# The pages


def test_nothing_that_was_given_becomes_markup(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    made = site.create(name=EVIL[:50], callbackUrl=f"https://x.example.org/{EVIL}")
    browser = browse(site)
    code = _device(site, made, scope=EVIL)
    pages = [Page(browser.follow(browser.get(AUTHORIZE, params={**asked(made), EVIL: EVIL})))]
    raw = f"{AUTHORIZE}?client_id={made['clientId']}&{EVIL.replace(' ', '+')}"
    pages.append(browser.page("/login/signin", params={"returnUrl": raw}))
    pages.append(Page(browser.press(pages[0], "No, do not sign in")))
    browser.sign_in()
    pages.append(browser.page("/"))
    pages.append(browser.page("/oauth/device/verify", params={"user_code": code}))
    pages.append(browser.page("/oauth/device/verify", params={"user_code": EVIL}))
    pages.append(Page(browser.post("/oauth/device/verify", {"user_code": EVIL, "answer": "approve"})))
    pages.append(Page(browser.press(pages[4], "Approve")))
    for number, page in enumerate(pages):
        # that no script and no attribute came of it, Page has seen to
        links = {"/", "/oauth/device/verify"}
        assert all(link in links or link.startswith("/login/signin?") for link in page.links.values()), number
    assert pages[1].forms[0].fields["returnUrl"] == raw
    for number in (0, 1, 2, 3, 4, 7):
        assert EVIL[:50] in pages[number].text
    assert pages[5].forms[0].fields["user_code"] == pages[6].forms[0].fields["user_code"] == EVIL


def test_every_page_forbids_what_it_does_not_need(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser = browse(site)
    refused = Page(browser.post("/login/signin", {}, origin="https://evil.example.org"))
    for page in (browser.page("/"), browser.page("/login/signin"), refused):
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("'; base-uri 'none'; frame-ancestors 'none'")
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["x-content-type-options"] == "nosniff"


def test_the_start_page_says_who_is_signed_in_and_what_is_registered(open_site: Opener, browse: BrowserOpener) -> None:
    site = open_site()
    browser = browse(site)
    empty = browser.page("/")
    assert (empty.title, empty.links["Sign in"]) == ("Nexus sandbox", "/login/signin")
    assert "None is registered yet." in empty.text
    made = site.create()
    site.create(name="archived")
    site.create(name="bare", callbackUrl="https://x")
    site.admin.put("/applications/3", json={"callbackUrl": ""})
    site.admin.patch("/applications/2?archive=true")
    browser.sign_in(1)
    page = browser.page("/")
    assert "Signed in: developer@localhost" in page.text
    assert f"viewer{CALLBACK}bareno callback URL" in page.text
    assert "archived" not in page.text
    assert made["clientSecretRaw"] not in page.text
    assert "Enter a device's code" in page.links


@pytest.mark.parametrize("stage", ["v1", "v1-deprecated", "v2-array"])
def test_a_build_without_device_codes_has_no_page_for_them(
    open_site: Opener, browse: BrowserOpener, stage: str
) -> None:
    browser = browse(open_site(stage))
    assert "Enter a device's code" not in browser.page("/").links
    assert (browser.get("/oauth/device/verify").status_code, browser.get("/oauth/device/verify").content) == (404, b"")


def _device(site: Site, made: dict[str, str], **more: str) -> str:
    answer = site.nobody.post("/device/code", data={"client_id": made["clientId"], **more})
    return str(answer.json()["user_code"])


def _cookie(browser: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())


def _sessions(site: Site) -> int:
    with site.state.transaction() as db:
        return int(db.execute("SELECT count(*) FROM nexus_session").fetchone()[0])
