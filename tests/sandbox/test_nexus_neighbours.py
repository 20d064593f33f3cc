"""What lies beside the recordings: odd requests as ASP.NET Core answers them, and what outlives a process."""

import base64
import contextlib
import http.client
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from registrar.sandbox.nexus import STAGES, Nexus
from registrar.sandbox.state import State
from tests.sandbox.served import CALLBACK, Opener, Site

REPORTED = "api-supported-versions"


# Routing


@pytest.mark.parametrize(
    "path",
    [
        "/API/V2/OAuth/Applications",
        "/api/v2/oauth/applications/",
        "/api/v2.0/oauth/applications",
        "/api/v2/%6Fauth/applications",
    ],
)
def test_other_spellings_of_a_path_reach_it(open_site: Opener, path: str) -> None:
    site = open_site()
    assert site.root(path, headers=dict(site.admin.headers)).json()["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v2",
        "/api/v2//oauth/applications",
        "/api/v2/oauth%2Fapplications",
        "/api/v2/oauth/%zz",
        "/api/v2/%ff",
    ],
)
def test_a_path_without_a_route_is_an_empty_404(open_site: Opener, path: str) -> None:
    answer = open_site().root(path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_dot_segments_are_resolved_and_a_nul_is_refused(open_site: Opener) -> None:
    site = open_site()
    assert _raw(site, "GET", "/api/v2/../v1/health")[0] == 200
    assert _raw(site, "GET", "/api/v2/oauth/%00")[0] == 400


@pytest.mark.parametrize(
    ("method", "route", "allow"),
    [
        ("HEAD", "/applications", "GET, POST"),
        ("OPTIONS", "/applications", "GET, POST"),
        ("DELETE", "/applications", "GET, POST"),
        ("HEAD", "/applications/1", "DELETE, GET, PATCH, PUT"),
        ("GET", "/tokens", "POST"),
        ("GET", "/tokens/revoke", "DELETE"),
        ("PUT", "/keys/x", "DELETE"),
        ("POST", "/authorize", "GET"),
        ("GET", "/exchange", "POST"),
    ],
)
@pytest.mark.parametrize("stage", STAGES)
def test_another_method_is_405_before_any_other_check(
    open_site: Opener, stage: str, method: str, route: str, allow: str
) -> None:
    answer = open_site(stage).nobody.request(method, route)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, allow, b"")
    assert REPORTED not in answer.headers


def test_an_unsupported_version_is_named_unless_it_is_one_the_build_supports(open_site: Opener) -> None:
    newest, earlier, oldest = open_site("v2"), open_site("v2-array"), open_site("v1")
    problem = newest.root("/api/v3/anything")
    assert (problem.status_code, problem.json()["detail"]) == (400, "API version '3' is not supported.")
    assert newest.root("/api/v1/anything").status_code == 400
    assert newest.root("/api/v1/users/current").status_code == 401
    assert earlier.root("/api/v1/anything").status_code == 404
    assert oldest.root("/api/v3/anything").content == b""


def test_openapi_lists_the_routes_with_the_prefix_only_where_it_belongs(open_site: Opener) -> None:
    oldest, newest = open_site("v1"), open_site("v2")
    path = "/oauth/applications/{applicationId}"
    old, new = oldest.root("/openapi/v1.json").json(), newest.root("/api/v1/openapi/v2.json").json()
    assert old["paths"][path].keys() == new["paths"][f"/api/v2{path}"].keys() == {"get", "put", "patch", "delete"}
    assert old["servers"][0]["url"] == f"{oldest.url}/api/v1/"
    assert new["servers"][0]["url"] == f"{newest.url}/"


# Bodies and queries


@pytest.mark.parametrize(
    ("body", "key", "message"),
    [
        ("  ", "$", "The input does not contain any JSON tokens."),
        ("null", "", "A non-empty request body is required."),
        (
            '"text"',
            "$",
            "deeplynx.models.CreateOauthApplicationRequestDto. Path: $ | LineNumber: 0 | BytePositionInLine: 6.",
        ),
        ("nul", "$", "'nul' is an invalid JSON literal. Expected the literal 'null'."),
        (
            "{name:1}",
            "$",
            "is an invalid start of a property name. Expected a '\"'. Path: $ | LineNumber: 0 | BytePositionInLine: 1.",
        ),
        ('{"name" 1}', "$", "'1' is invalid after a property name. Expected a ':'."),
        (
            '{"name":x}',
            "$.name",
            "'x' is an invalid start of a value. Path: $.name | LineNumber: 0 | BytePositionInLine: 8.",
        ),
        ('{"name":"a",}', "$", "The JSON object contains a trailing comma at the end"),
        ('{"other":[1,]}', "$", "The JSON array contains a trailing comma at the end"),
        ('{"name":"a" "b"}', "$", "'\"' is invalid after a value. Expected either ',', '}', or ']'."),
        ('{"name":"a"} {', "$", "'{' is invalid after a single JSON value. Expected end of data."),
        ('{"name":"a\nb"}', "$.name", "'0x0A' is invalid within a JSON string."),
        (r'{"name":"\x"}', "$.name", "'x' is an invalid escapable character within a JSON string."),
        ('{"name":"a', "$.name", "Expected end of string, but instead reached end of data."),
        ('{"other":01}', "$", "Invalid leading zero before '1'."),
        ('{"other":-}', "$", "Expected a digit ('0'-'9'), but instead reached end of data."),
        ('{"other":NaN}', "$", "'N' is an invalid start of a value."),
        (
            '{"other":' + "[" * 64,
            "$",
            "The maximum configured depth of 64 has been exceeded. Cannot read next JSON array.",
        ),
        (
            '{\n "CallbackUrl" : false}',
            "$.CallbackUrl",
            "System.String. Path: $.CallbackUrl | LineNumber: 1 | BytePositionInLine: 22.",
        ),
        ('{"baseUrl":{}}', "$.baseUrl", "could not be converted to System.String."),
        ('{"description":[]}', "$.description", "could not be converted to System.String."),
        (r'{"appOwnerEmail":"\ud800"}', "$.appOwnerEmail", "could not be converted to System.String."),
    ],
)
def test_json_is_refused_in_the_words_of_its_reader(open_site: Opener, body: str, key: str, message: str) -> None:
    old, new = open_site("v1"), open_site("v2")
    headers = {"content-type": "application/json"}
    errors = old.admin.post("/applications", content=body, headers=headers).json()["errors"]
    assert message in errors[key][0]
    assert errors["dto"] == ["The dto field is required."]
    shown = new.admin.post("/applications", content=body, headers=headers).json()["errors"]
    assert list(shown) == [key.removeprefix("$.") if "." in key else "request"]
    assert "LineNumber" not in str(shown)


def test_json_is_taken_as_generously_as_its_reader_takes_it(open_site: Opener) -> None:
    site = open_site()
    body = (
        '\ufeff {"NAME":"first","other":{"deep":[1,{"name":"no"}]},"callbackURL":"https://a/","name":"l\\u00e4st"} \n'
    )
    sent = {
        "application/json; charset=utf-8": body.encode(),
        "text/json": body.encode(),
        "application/vnd.api+json": body.encode(),
        "application/json; charset=utf-16": body[1:].encode("utf-16"),
    }
    for content_type, content in sent.items():
        answer = site.admin.post("/applications", content=content, headers={"content-type": content_type})
        assert answer.json()["name"] == "läst", content_type


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
@pytest.mark.parametrize("stage", STAGES)
def test_what_is_not_json_is_415_but_only_for_who_may_ask(
    open_site: Opener, stage: str, content_type: str | None
) -> None:
    site = open_site(stage)
    headers = {"content-type": content_type} if content_type else {}
    answer = site.admin.put("/applications/1", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (415, "Unsupported Media Type")
    assert REPORTED not in answer.headers
    assert ("deprecation" in answer.headers) == (stage == "v1-deprecated")
    assert site.nobody.put("/applications/1", content=b"{}", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("apiKey", 5),
        ("apiSecret", True),
        ("expirationMinutes", "soon"),
        ("expirationMinutes", []),
        ("expirationMinutes", ""),
    ],
)
def test_a_wrong_type_in_any_token_field_is_400(open_site: Opener, field: str, value: object) -> None:
    body = {"apiKey": "k", "apiSecret": "s", field: value}
    answer = open_site("v1").nobody.post("/tokens", json=body)
    assert answer.json()["errors"].keys() == {f"$.{field}", "tokenDto"}


def test_length_is_counted_in_utf_16_units_and_only_by_the_newer_builds(open_site: Opener) -> None:
    new, old = open_site("v2"), open_site("v1")
    new.create(name="🎈" * 25)
    assert new.admin.post("/applications", json={"name": "🎈" * 26, "callbackUrl": CALLBACK}).status_code == 400
    long = "d" * 5_000_000
    old.create(description=long)
    assert old.admin.get("/applications/1").json()["description"] == long
    assert new.admin.put("/applications/1", json={"description": long}).json()["errors"].keys() == {"Description"}


@pytest.mark.parametrize(
    ("query", "key", "message"),
    [
        ("hideArchived=", "hideArchived", "The value '' is invalid."),
        ("hideArchived=1", "hideArchived", "The value '1' is not valid."),
        ("pageSize=x", "PageSize", "The value 'x' is not valid for PageSize."),
        ("pageSize=", "PageSize", "The value '' is invalid."),
        ("pageSize=1.5", "PageSize", "The value '1.5' is not valid for PageSize."),
        ("pageNumber=99999999999", "PageNumber", "The value '99999999999' is not valid for PageNumber."),
        ("pageSize=-2", "PageSize", "The field PageSize must be between -1 and 500."),
    ],
)
def test_a_query_that_cannot_be_bound_is_400(open_site: Opener, query: str, key: str, message: str) -> None:
    answer = open_site().admin.get(f"/applications?{query}")
    assert (answer.status_code, answer.json()["errors"]) == (400, {key: [message]})


def test_query_names_match_in_any_case_and_the_first_of_twins_counts(open_site: Opener) -> None:
    site = open_site()
    for number in range(3):
        site.create(name=f"a{number}")
    page = site.admin.get("/applications?PAGESIZE=2&pagesize=1&HideArchived=%20TRUE%20").json()
    assert (len(page["items"]), page["totalPages"]) == (2, 2)
    everything = site.admin.get("/applications?pageSize=-1&pageNumber=2").json()
    assert (everything["items"], everything["pageSize"], everything["hasPrevious"]) == ([], 3, True)


# Content negotiation


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/*", "text/plain; charset=utf-8"),
        ("application/json, */*;q=0.1", "text/plain; charset=utf-8"),
        ("text/plain;q=0.5, application/json", "application/json; charset=utf-8"),
        ("application/xml", "text/plain; charset=utf-8"),
        ("text/json", "text/json; charset=utf-8"),
        ("nonsense", "text/plain; charset=utf-8"),
    ],
)
def test_the_form_of_a_bare_token_follows_accept(open_site: Opener, accept: str, content_type: str) -> None:
    site = open_site()
    body = {"apiKey": site.nexus.user.api_key, "apiSecret": site.nexus.user.api_secret}
    answer = site.nobody.post("/tokens", json=body, headers={"accept": accept})
    assert answer.headers["content-type"] == content_type
    assert answer.text.startswith('"eyJ' if "json" in content_type else "eyJ")


def test_a_problem_needs_an_accept_that_allows_json(open_site: Opener) -> None:
    site = open_site()
    answer = site.admin.get("/applications/9", headers={"accept": "text/plain"})
    assert (answer.status_code, answer.content) == (500, b"")
    assert site.admin.get("/applications/9", headers={"accept": "application/*"}).status_code == 404
    assert site.admin.put("/applications/9", json=[], headers={"accept": "text/plain"}).status_code == 400


# Who is asking


@pytest.mark.parametrize("stage", STAGES)
def test_a_token_is_found_in_header_query_and_cookie(open_site: Opener, stage: str) -> None:
    site = open_site(stage)
    token = site.user.headers["authorization"].removeprefix("Bearer ")
    path = f"/api/{site.version}/users/current"
    for headers, query in (
        ({"authorization": f"bearer {token}"}, ""),
        ({}, f"?Token={token}"),
        ({"cookie": f"a=b; access_token={token}"}, ""),
    ):
        assert site.root(path + query, headers=headers).json()["id"] == 2
    assert site.root(path, headers={"authorization": f"Bearer  {token}"}).status_code == 401


@pytest.mark.parametrize("algorithm", ["none", "RS256", "HS256"])
def test_a_forged_token_is_401(open_site: Opener, algorithm: str) -> None:
    site = open_site()
    _, claims, signature = site.admin.headers["authorization"].removeprefix("Bearer ").split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode().rstrip("=")
    answer = site.nobody.get("/keys", headers={"authorization": f"Bearer {header}.{claims}.{signature}"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


@pytest.mark.parametrize("stage", STAGES)
def test_a_token_that_only_looks_like_a_jwt_is_500(open_site: Opener, stage: str) -> None:
    answer = open_site(stage).nobody.get("/applications", headers={"authorization": "Bearer a.b.c"})
    assert answer.status_code == 500
    assert bool(answer.content) == stage.startswith("v2")


def test_keys_are_their_owners_alone_and_kill_their_tokens(open_site: Opener) -> None:
    site = open_site()
    key = site.nexus.user.api_key
    assert site.admin.delete(f"/keys/{key}").status_code == 404
    assert site.user.delete(f"/keys/{key}").json() is True
    assert site.user.get("/keys").status_code == 401


def test_a_key_of_an_application_lives_and_rests_with_it(open_site: Opener) -> None:
    site = open_site("v1")
    made = site.create()
    key = site.admin.post("/keys", params={"clientId": made["clientId"]}).json()
    assert site.admin.patch("/applications/1?archive=true").status_code == 200
    refused = site.nobody.post("/tokens", json=key)
    assert refused.status_code == 400
    assert refused.json()["message"].endswith("not found or has been archived. Cannot create token.")
    site.admin.patch("/applications/1")
    assert site.admin.delete("/applications/1").status_code == 200
    assert key["apiKey"] not in site.admin.get("/keys").json()


def test_a_life_beyond_the_calendar_is_refused(open_site: Opener) -> None:
    old, new = open_site("v1"), open_site("v2")
    for site in (old, new):
        body = {"apiKey": site.nexus.user.api_key, "apiSecret": site.nexus.user.api_secret, "expirationMinutes": 1e300}
        assert site.nobody.post("/tokens", json=body).status_code == 500
    made = old.create()
    code = old.code(made)
    answer = old.exchange(made, code, expiration="1e300")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert old.exchange(made, code).json()["error_description"] == "Authorization code has already been used"


# Applications


@pytest.mark.parametrize("stage", ["v1", "v1-deprecated"])
def test_v1_prints_its_stack_trace(open_site: Opener, stage: str) -> None:
    site = open_site(stage)
    for method, path in (("GET", "/applications/7"), ("DELETE", "/applications/7"), ("PATCH", "/applications/7")):
        answer = site.admin.request(method, path)
        assert answer.status_code == 500
        assert re.search(r"\n   at deeplynx[\w.]+\(.*\) in /\S+\.cs:line \d+$", answer.text)


@pytest.mark.parametrize("stage", STAGES)
def test_a_nul_in_a_field_is_the_databases_refusal(open_site: Opener, stage: str) -> None:
    site = open_site(stage)
    answer = site.admin.post("/applications", json={"name": "a\0b", "callbackUrl": CALLBACK})
    assert answer.status_code == 500
    assert ("22021" in answer.text) == (site.version == "v1")
    assert site.create()["name"] == "viewer"


def test_without_an_order_an_updated_application_moves_to_the_end(open_site: Opener) -> None:
    old, new = open_site("v1"), open_site("v2")
    for site in (old, new):
        for name in "abc":
            site.create(name=name)
        site.admin.put("/applications/1", json={})
    assert [item["id"] for item in old.admin.get("/applications").json()] == [2, 3, 1]
    assert [item["id"] for item in new.admin.get("/applications").json()["items"]] == [1, 2, 3]


@pytest.mark.parametrize(("stage", "ending"), [("v1", ""), ("v1-deprecated", "Z"), ("v2", "Z"), ("v2-array", "Z")])
def test_times_have_the_form_of_their_build(open_site: Opener, stage: str, ending: str) -> None:
    site = open_site(stage)
    site.create()
    for _ in range(5):
        updated = site.admin.put("/applications/+1", json={}).json()["lastUpdatedAt"]
        stored = site.admin.get("/applications/1").json()["lastUpdatedAt"]
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{{0,6}}[1-9])?{ending}", updated)
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{{0,5}}[1-9])?{ending}", stored)
        assert updated.startswith(stored.removesuffix("Z"))


def test_a_deleted_id_is_never_given_again(open_site: Opener) -> None:
    site = open_site()
    site.create()
    assert site.admin.delete("/applications/1").json() is True
    site.create()
    assert [item["id"] for item in site.admin.get("/applications").json()["items"]] == [2]


# Handshake


@pytest.mark.parametrize(
    ("registered", "location"),
    [
        ("https://x.example.org", "https://x.example.org:443/?code={}&state=s"),
        ("http://X.example.org:8080/A b/", "http://x.example.org:8080/A%20b/?code={}&state=s"),
        (
            "https://x.example.org/cb?b=2&a=%C3%A9~&Code=old",
            "https://x.example.org:443/cb?b=2&a=%c3%a9%7e&code={}&state=s",
        ),
        ("https://x.example.org/cb#part", "https://x.example.org:443/cb?code={}&state=s#part"),
        ("http://[::1]:9/cb", "http://[::1]:9/cb?code={}&state=s"),
        ("127.0.0.1:9/cb", "http://127.0.0.1:9/cb?code={}&state=s"),
        ("app.viewer:/cb", "app.viewer:/cb?code={}&state=s"),
        ("app.viewer://home/cb", "app.viewer://home/cb?code={}&state=s"),
    ],
)
def test_the_browser_is_sent_to_the_url_as_uribuilder_prints_it(
    open_site: Opener, registered: str, location: str
) -> None:
    site = open_site()
    made = site.create(callbackUrl=registered)
    query = {"client_id": made["clientId"], "redirect_uri": registered, "state": "s"}
    found = site.nobody.get("/authorize", params=query).headers["location"]
    code = re.search(r"code=([\w-]{43})", found)
    assert code
    assert found == location.format(code[1])


@pytest.mark.parametrize("registered", ["not a url", "https://x.example.org:port/", "https://größe.example.org/"])
def test_a_callback_that_is_no_url_fails_at_authorize(open_site: Opener, registered: str) -> None:
    old, new = open_site("v1"), open_site("v2")
    for site in (old, new):
        made = site.create(callbackUrl=registered)
        query = {"client_id": made["clientId"], "redirect_uri": registered, "state": "s"}
        answer = site.nobody.get("/authorize", params=query)
        assert answer.status_code == 500
        assert (answer.json().get("error") == "server_error") == (site is old)


def test_a_code_is_forgotten_after_ten_minutes_and_a_used_one_after_one(open_site: Opener) -> None:
    site = open_site("v1")
    made = site.create()
    fresh, old, used = site.code(made), site.code(made), site.code(made)
    _age(site.state, old, 601)
    _age(site.state, fresh, 590)
    assert site.exchange(made, old).json()["error_description"] == "Invalid authorization code"
    assert site.exchange(made, fresh).status_code == 200
    assert site.exchange(made, used).status_code == 200
    assert site.exchange(made, used).json()["error_description"] == "Authorization code has already been used"
    _age(site.state, used, 61)
    assert site.exchange(made, used).json()["error_description"] == "Invalid authorization code"


@pytest.mark.parametrize(
    ("expiration", "expires_in"), [("0", "0"), ("-1", "-60"), ("0.017", "1.02"), ("1,000", "60000")]
)
def test_v1_reports_the_life_that_was_asked_for(open_site: Opener, expiration: str, expires_in: str) -> None:
    site = open_site("v1")
    made = site.create()
    text = site.exchange(made, site.code(made), expiration=expiration).text
    assert f'"expires_in":{expires_in},' in text


# Memory


def test_everything_outlives_the_process(open_site: Opener, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    first = open_site("v2", path)
    made = first.create()
    code = first.code(made)
    second = open_site("v2", path)
    assert second.nexus.sysadmin == first.nexus.sysadmin
    assert second.exchange(made, code).status_code == 200
    token = dict(first.admin.headers)
    assert second.root("/api/v2/users/current", headers=token).json()["id"] == 1
    assert first.admin.delete("/tokens/revoke").json() == 3
    assert second.root("/api/v2/users/current", headers=token).status_code == 401


def test_the_first_keys_are_shown_again_but_do_not_come_back(open_site: Opener, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    first = open_site("v2", path)
    key = first.nexus.user
    assert (len(key.api_key), len(key.api_secret)) == (86, 86)
    first.user.delete(f"/keys/{key.api_key}")
    with contextlib.closing(State(path)) as state:
        assert Nexus(state, "v2").user == key
    assert first.nobody.post("/tokens", json={"apiKey": key.api_key, "apiSecret": key.api_secret}).status_code == 404


def test_processes_share_one_state(open_site: Opener, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    site = open_site("v2", path)
    script = """
import sys
from registrar.sandbox.http import Request
from registrar.sandbox.nexus import Nexus
from registrar.sandbox.state import State
from tests.sandbox.served import CALLBACK, Opener, Site
nexus = Nexus(State(sys.argv[1]), "v2")
headers = {"authorization": sys.argv[2], "content-type": "application/json"}
body = b'{"name": "other", "callbackUrl": "https://x"}'
for _ in range(50):
    answer = nexus(Request("POST", "", "/api/v2/oauth/applications", "", headers, body))
    assert answer.status == 200, answer
"""
    words = [sys.executable, "-c", script, str(path), site.admin.headers["authorization"]]
    others = [subprocess.Popen(words) for _ in range(2)]
    for _ in range(50):
        site.create()
    assert [other.wait(60) for other in others] == [0, 0]
    page = site.admin.get("/applications?pageSize=500").json()
    assert [item["id"] for item in page["items"]] == list(range(1, 151))
    assert len({item["clientId"] for item in page["items"]}) == 150


def test_no_secret_is_kept_in_clear(open_site: Opener, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    site = open_site("v2", path)
    made = site.create()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert made["clientId"].encode() in kept
    assert made["clientSecretRaw"].encode() not in kept


def _raw(site: Site, method: str, path: str) -> tuple[int, bytes]:
    """A request whose path no client library has tidied."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()


def _age(state: State, code: str, seconds: float) -> None:
    with state.transaction() as db:
        db.execute("UPDATE nexus_code SET kept_until = kept_until - ? WHERE code = ?", (seconds, code))
