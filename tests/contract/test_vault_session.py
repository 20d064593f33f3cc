"""Who registrar is to Vault: each way to log in and a token kept alive, against a socket that follows a script."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from registrar.errors import AccessDenied, OutcomeUnknown, ServiceError, Unreachable, Unsuitable, UsageError
from registrar.model import Credential
from registrar.secret import Secret
from registrar.vault import Login, Vault
from registrar.vault import session as vault_session
from tests.contract.vault_wire import RESET, Script, Seen, Wire, answer, listening

CANARY = Secret("canary-of-the-login")
CREDENTIAL = Credential("c1", Secret("canary-secret-one"))
DENIED = answer(403, {"errors": ["permission denied"]})
NOTHING = answer(404, {"errors": []})
LOOK_UP = "/v1/auth/token/lookup-self"
RENEW = "/v1/auth/token/renew-self"
REVOKE = "/v1/auth/token/revoke-self"
DATA = "/v1/secret/data/nexus/viewer"


def token_answer(token: str, life_s: int = 3600, *, renewable: bool = True) -> bytes:
    """As a login or a renewal answers."""
    auth = {"client_token": token, "accessor": "a", "policies": ["default"], "lease_duration": life_s}
    return answer(200, {"auth": auth | {"renewable": renewable}, "data": None})


def looked_up(
    life_s: int, *, renewable: bool = True, uses: int = 0, ends: str | None = "2030-01-01T00:00:00Z"
) -> bytes:
    data = {"id": "canary-of-the-token", "ttl": life_s, "renewable": renewable, "num_uses": uses, "expire_time": ends}
    return answer(200, {"data": data | {"display_name": "approle", "policies": ["default", "applier"]}})


def routed(routes: Mapping[str, Any]) -> Script:
    """An answer by path, be it bytes, a function, or several of which the last one is for ever."""

    def script(seen: Seen) -> bytes:
        found = routes[seen.target.partition("?")[0]]
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        said: bytes = found(seen) if callable(found) else found
        return said

    return script


@contextlib.contextmanager
def facing(identity: Secret | Login, script: Script, **options: Any) -> Iterator[tuple[Vault, Wire]]:
    with (
        listening(script) as there,
        contextlib.closing(Vault(there.url, token=identity, timeout_s=5, **options)) as vault,
    ):
        yield vault, there


def targets(there: Wire) -> list[str]:
    return [seen.target for seen in there.seen]


def shown(there: Wire) -> list[str | None]:
    return [seen.headers.get("x-vault-token") for seen in there.seen]


class TestLogin:
    @pytest.mark.parametrize(
        ("login", "target", "body"),
        [
            (
                Login("approle", role="r1", secret=lambda: CANARY),
                "/v1/auth/approle/login",
                {"role_id": "r1", "secret_id": "canary-of-the-login"},
            ),
            (Login("approle", role="r1"), "/v1/auth/approle/login", {"role_id": "r1"}),
            (
                Login("jwt", "gitlab", role="ci", secret=lambda: CANARY),
                "/v1/auth/gitlab/login",
                {"role": "ci", "jwt": "canary-of-the-login"},
            ),
            (Login("jwt", secret=lambda: CANARY), "/v1/auth/jwt/login", {"jwt": "canary-of-the-login"}),
            (
                Login("kubernetes", "clusters/one", role="apps", secret=lambda: CANARY),
                "/v1/auth/clusters/one/login",
                {"role": "apps", "jwt": "canary-of-the-login"},
            ),
            (
                Login("userpass", username="ada@example.org", secret=lambda: CANARY),
                "/v1/auth/userpass/login/ada%40example.org",
                {"password": "canary-of-the-login"},
            ),
            (
                Login("ldap", username="ada", secret=lambda: CANARY),
                "/v1/auth/ldap/login/ada",
                {"password": "canary-of-the-login"},
            ),
            (Login("cert", role="pipelines"), "/v1/auth/cert/login", {"name": "pipelines"}),
            (Login("cert"), "/v1/auth/cert/login", {}),
        ],
    )
    def test_each_method_sends_what_it_takes(self, login: Login, target: str, body: dict[str, str]) -> None:
        script = routed({target: token_answer("t1"), DATA: NOTHING, REVOKE: answer(204)})
        with facing(login, script, namespace="team") as (vault, there):
            assert vault.read("viewer") is None
            assert vault.read("viewer") is None
        assert targets(there) == [target, DATA, DATA, REVOKE]
        assert json.loads(there.seen[0].body) == body
        assert shown(there) == [None, "t1", "t1", "t1"]
        assert {seen.headers.get("x-vault-namespace") for seen in there.seen} == {"team"}

    def test_a_static_token_is_neither_asked_about_nor_given_back(self) -> None:
        with facing(CANARY, routed({DATA: NOTHING})) as (vault, there):
            vault.read("viewer")
        assert targets(there) == [DATA]

    def test_nothing_is_sent_before_something_is_asked(self) -> None:
        with facing(Login("cert"), routed({})) as (_, there):
            pass
        assert there.seen == []

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (400, "invalid role or secret ID"),
            (400, "invalid username or password"),
            (400, 'error validating claims: claim "sub" does not match any associated bound claim values'),
            (403, "permission denied"),
            (500, "missing password"),
        ],
    )
    def test_a_refusal_says_why(self, status: int, reason: str) -> None:
        refused = answer(status, {"errors": [f"{reason} canary-of-the-login"]})
        login = Login("approle", role="r1", secret=lambda: CANARY)
        with facing(login, routed({"/v1/auth/approle/login": refused})) as (vault, there):
            with pytest.raises(AccessDenied, match="login by approle at auth/approle/login is refused") as raised:
                vault.store("viewer", CREDENTIAL, 0)
            assert reason in raised.value.message
            assert "secret id" in raised.value.hint
            assert len(there.seen) == 1
        assert "canary" not in f"{raised.value.message}{raised.value!r}{raised.value.hint}"

    def test_a_second_factor_is_for_people(self) -> None:
        auth = {"client_token": "", "mfa_requirement": {"mfa_request_id": "x"}, "lease_duration": 0}
        wants = answer(200, {"auth": auth})
        with facing(Login("userpass", username="ada"), routed({"/v1/auth/userpass/login/ada": wants})) as (vault, _):
            with pytest.raises(AccessDenied, match="second factor") as raised:
                vault.read("viewer")
            assert "vault login" in raised.value.hint

    @pytest.mark.parametrize(
        "body", [{}, {"auth": None}, {"auth": {"client_token": ""}}, {"auth": {"lease_duration": 5}}]
    )
    def test_an_answer_without_a_token(self, body: object) -> None:
        script = routed({"/v1/auth/cert/login": answer(200, body)})
        with facing(Login("cert"), script) as (vault, _), pytest.raises(Unsuitable, match="without a token"):
            vault.read("viewer")

    def test_a_login_that_may_spend_its_secret_is_sent_once(self) -> None:
        for login, times in ((Login("approle", role="r"), 1), (Login("jwt", role="r"), 3)):
            with facing(login, lambda _: RESET) as (vault, there):
                with pytest.raises(Unreachable):
                    vault.store("viewer", CREDENTIAL, 0)
                assert len(there.seen) == times

    @pytest.mark.parametrize("username", ["a/b", ".."])
    def test_a_user_is_one_segment(self, username: str) -> None:
        with pytest.raises(UsageError):
            Login("userpass", username=username)
        with pytest.raises(UsageError):
            Login("magic")

    def test_threads_share_one_login(self) -> None:
        script = routed({"/v1/auth/cert/login": token_answer("t1"), DATA: NOTHING, REVOKE: answer(204)})
        with facing(Login("cert"), script) as (vault, there), ThreadPoolExecutor(16) as pool:
            assert set(pool.map(lambda _: vault.read("viewer"), range(64))) == {None}
        assert targets(there).count("/v1/auth/cert/login") == 1


class TestLife:
    def test_a_token_that_dies_is_replaced_by_a_new_login_and_nothing_is_lost(self) -> None:
        """A 403 to a dead token has done nothing, so that even a write is sent again."""
        logins = iter(["t1", "t2"])

        def store(seen: Seen) -> bytes:
            written = {"data": {"version": 1, "created_time": "2026-01-01T00:00:00Z"}}
            return answer(200, written) if seen.headers["x-vault-token"] == "t2" else DENIED

        routes = {
            "/v1/auth/cert/login": lambda _: token_answer(next(logins)),
            DATA: store,
            LOOK_UP: DENIED,
            REVOKE: answer(204),
        }
        with facing(Login("cert"), routed(routes)) as (vault, there):
            assert vault.store("viewer", CREDENTIAL, 0).version == 1
        login = "/v1/auth/cert/login"
        assert targets(there) == [login, DATA, LOOK_UP, login, DATA, REVOKE]
        assert there.seen[1].body == there.seen[4].body

    def test_a_policy_that_says_no_is_no_reason_to_log_in_again(self) -> None:
        routes = {"/v1/auth/cert/login": token_answer("t1"), DATA: DENIED, LOOK_UP: looked_up(60), REVOKE: answer(204)}
        with facing(Login("cert"), routed(routes)) as (vault, there):
            with pytest.raises(AccessDenied, match="read on secret/data/nexus/viewer"):
                vault.read("viewer")
            assert targets(there) == ["/v1/auth/cert/login", DATA, LOOK_UP]

    def test_many_threads_with_a_dead_token_make_one_login(self) -> None:
        made: list[str] = []

        def login(_: Seen) -> bytes:
            made.append(f"t{len(made)}")
            return token_answer(made[-1])

        def alive(seen: Seen) -> bytes:
            return DENIED if seen.headers["x-vault-token"] == "t0" else NOTHING

        routes = {"/v1/auth/cert/login": login, DATA: alive, LOOK_UP: DENIED, REVOKE: answer(204)}
        with facing(Login("cert"), routed(routes)) as (vault, _), ThreadPoolExecutor(16) as pool:
            assert set(pool.map(lambda _: vault.read("viewer"), range(64))) == {None}
        assert made == ["t0", "t1"]

    @pytest.mark.parametrize("moment", [0.0, 2399.0])
    def test_it_is_left_alone_for_two_thirds_of_its_life(self, clock: list[float], moment: float) -> None:
        routes = {"/v1/auth/cert/login": token_answer("t1", 3600), DATA: NOTHING, REVOKE: answer(204)}
        with facing(Login("cert"), routed(routes)) as (vault, there):
            vault.read("viewer")
            clock[0] += moment
            vault.read("viewer")
        assert RENEW not in targets(there)

    def test_then_it_is_renewed(self, clock: list[float]) -> None:
        routes = {
            "/v1/auth/cert/login": token_answer("t1", 3600),
            RENEW: token_answer("t1", 3600),
            DATA: NOTHING,
            REVOKE: answer(204),
        }
        with facing(Login("cert"), routed(routes)) as (vault, there):
            for _ in range(4):
                vault.read("viewer")
                vault.read("viewer")
                clock[0] += 2401
        assert targets(there).count(RENEW) == 3
        assert targets(there).count("/v1/auth/cert/login") == 1
        assert json.loads(there.seen[3].body) == {"increment": "3600s"}

    def test_at_the_end_of_its_longest_life_there_is_a_new_one(self, clock: list[float]) -> None:
        logins = iter(["t1", "t2"])
        routes = {
            "/v1/auth/cert/login": lambda _: token_answer(next(logins), 3600),
            RENEW: token_answer("t1", 1200),  # no more than what was left of it
            DATA: NOTHING,
            REVOKE: answer(204),
        }
        with facing(Login("cert"), routed(routes)) as (vault, there):
            vault.read("viewer")
            clock[0] += 2400
            vault.read("viewer")
        assert shown(there)[-2:] == ["t2", "t2"]

    @pytest.mark.parametrize(
        "said", [RESET, answer(500, {"errors": ["no"]}), answer(400, {"errors": ["lease is not"]})]
    )
    def test_a_renewal_that_fails_leaves_the_token_that_lives(self, clock: list[float], said: bytes) -> None:
        logins = [token_answer("t1", 3600), answer(503, {"errors": ["later"]})]
        routes = {"/v1/auth/cert/login": logins, RENEW: said, DATA: NOTHING, REVOKE: answer(204)}
        with facing(Login("cert"), routed(routes)) as (vault, there):
            vault.read("viewer")
            clock[0] += 2401
            assert vault.read("viewer") is None
            tried = targets(there).count(RENEW)
            assert vault.read("viewer") is None
            assert targets(there).count(RENEW) == tried
        assert shown(there)[-2:] == ["t1", "t1"]

    def test_a_token_that_cannot_be_renewed_is_got_anew(self, clock: list[float]) -> None:
        logins = iter(["t1", "t2"])
        routes = {
            "/v1/auth/cert/login": lambda _: token_answer(next(logins), 600, renewable=False),
            DATA: NOTHING,
            REVOKE: answer(204),
        }
        with facing(Login("cert"), routed(routes)) as (vault, there):
            vault.read("viewer")
            clock[0] += 401
            vault.read("viewer")
        assert shown(there) == [None, "t1", None, "t2", "t2"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by which a session judges its token, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(vault_session, "monotonic", lambda: now[0])
    return now


class TestBeforeARun:
    """What `check` makes of the token; the answers after it are of no matter here."""

    @staticmethod
    def checked(identity: Secret | Login, routes: dict[str, Any], paths: int = 1) -> tuple[ServiceError, list[str]]:
        known = {RENEW: DENIED, "/v1/sys/health": answer(200, {}), "/v1/sys/internal/ui/mounts/secret/nexus": DENIED}
        script = routed(known | {"/v1/auth/cert/login": token_answer("t1", 3600), REVOKE: answer(204)} | routes)
        with facing(identity, script) as (vault, there):
            with pytest.raises(ServiceError) as raised:
                vault.check([f"p{number}" for number in range(paths)])
            return raised.value, targets(there)

    @pytest.mark.parametrize("said", [looked_up(0, ends=None), looked_up(61), looked_up(3600, renewable=False)])
    def test_one_that_lives_on_is_left_alone(self, said: bytes) -> None:
        error, asked = self.checked(CANARY, {LOOK_UP: said})
        assert "mount" in error.message
        assert RENEW not in asked

    def test_a_short_one_is_renewed_for_as_long_as_the_run_may_take(self) -> None:
        error, asked = self.checked(CANARY, {LOOK_UP: looked_up(50), RENEW: token_answer("x", 3600)})
        assert "mount" in error.message
        assert RENEW in asked

    @pytest.mark.parametrize(
        ("routes", "paths", "said"),
        [
            ({LOOK_UP: looked_up(50, renewable=False)}, 1, "ends in 50 s, and this run may need 61 s"),
            ({LOOK_UP: looked_up(0)}, 1, "ends in 0 s"),
            ({LOOK_UP: looked_up(50), RENEW: token_answer("x", 55)}, 1, "ends in 55 s"),
            ({LOOK_UP: looked_up(50), RENEW: answer(400, {"errors": ["lease is not renewable"]})}, 1, "ends in 50 s"),
            ({LOOK_UP: looked_up(500, renewable=False)}, 1000, "ends in 500 s, and this run may need 560 s"),
        ],
    )
    def test_one_that_ends_too_soon_is_refused(self, routes: dict[str, Any], paths: int, said: str) -> None:
        error, _ = self.checked(CANARY, routes, paths)
        assert isinstance(error, AccessDenied)
        assert said in error.message
        assert "canary" not in repr(error)

    def test_one_of_a_login_may_end_since_there_will_be_another(self) -> None:
        error, _ = self.checked(Login("cert"), {LOOK_UP: looked_up(50, renewable=False)})
        assert "mount" in error.message

    def test_one_with_counted_uses_is_refused(self) -> None:
        error, _ = self.checked(CANARY, {LOOK_UP: looked_up(3600, uses=7)})
        assert "7 more times" in error.message


class TestStandby:
    """Enterprise's performance standbys answer reads a moment behind the active node."""

    STATES = ("djE6Y2x1c3Rlcjo3OjA6bWFj", "djE6Y2x1c3RlcjoxMDowOm1hYw==")  # v1:cluster:7:0:mac and …:10:0:mac

    def test_what_was_written_is_asked_for(self) -> None:
        older, newer = self.STATES
        written = {"data": {"version": 1, "created_time": "2026-01-01T00:00:00Z"}}
        answers = [answer(200, written, X_Vault_Index=state) for state in (newer, older)] + [NOTHING]
        with facing(CANARY, routed({DATA: answers})) as (vault, there):
            vault.store("viewer", CREDENTIAL, 0)
            vault.store("viewer", CREDENTIAL, 1)
            vault.read("viewer")
        assert [seen.headers.get("x-vault-index") for seen in there.seen] == [None, newer, newer]

    def test_one_that_lags_is_asked_again(self) -> None:
        lagging = answer(412, {"errors": ["required index state not present"]})
        written = answer(200, {"data": {"version": 1, "created_time": "2026-01-01T00:00:00Z"}})
        with facing(CANARY, routed({DATA: [lagging, NOTHING, lagging, written]})) as (vault, there):
            assert vault.read("viewer") is None
            assert vault.store("viewer", CREDENTIAL, 0).version == 1
            assert len(there.seen) == 4

    def test_a_mount_that_is_being_made_is_asked_again(self) -> None:
        new = answer(400, {"errors": ["Upgrading from non-versioned to versioned data. This backend will be back."]})
        written = answer(200, {"data": {"version": 1, "created_time": "2026-01-01T00:00:00Z"}})
        with facing(CANARY, routed({DATA: [new, NOTHING, new, written]})) as (vault, there):
            assert vault.read("viewer") is None
            assert vault.store("viewer", CREDENTIAL, 0).version == 1
            assert len(there.seen) == 4

    def test_what_is_no_state_of_vault_is_passed_on(self) -> None:
        answers = [answer(200, {"data": None}, X_Vault_Index=state) for state in ("opaque", "s p a c e", "other")]
        with facing(CANARY, routed({DATA: [*answers, NOTHING]})) as (vault, there):
            for _ in range(4):
                with contextlib.suppress(ServiceError):
                    vault.read("viewer")
        assert [seen.headers.get("x-vault-index") for seen in there.seen] == [None, "opaque", "opaque", "other"]

    def test_a_quota_says_when(self) -> None:
        busy = answer(429, {"errors": ["request path kv/: rate limit quota exceeded"]}, Retry_After="1")
        with facing(CANARY, routed({DATA: [busy, NOTHING]})) as (vault, there):
            assert vault.read("viewer") is None
            assert len(there.seen) == 2
        long = answer(429, {"errors": ["quota"]}, Retry_After="60")
        with facing(CANARY, routed({DATA: [long, NOTHING]})) as (vault, there):
            with pytest.raises(Unsuitable, match="429"):
                vault.read("viewer")
            assert len(there.seen) == 1


def test_a_write_whose_answer_is_lost_is_not_sent_again_by_a_session_either() -> None:
    routes = {"/v1/auth/cert/login": token_answer("t1"), DATA: RESET, REVOKE: answer(204)}
    with facing(Login("cert"), routed(routes)) as (vault, there):
        with pytest.raises(OutcomeUnknown):
            vault.store("viewer", CREDENTIAL, 0)
        assert targets(there).count(DATA) == 1
