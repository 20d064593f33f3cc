"""Settings: which source decides, what contradicts, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar import targets
from registrar.config import Flags, Need, Settings, load, state_dir
from registrar.errors import UsageError
from registrar.logins import Method, VaultLogin
from registrar.model import Target
from registrar.secret import Secret
from registrar.targets import Location
from registrar.tls import Tls

FILE = """
set: twin-platform
manifests: apps
default_target: dev
targets:
  dev:
    nexus_url: https://Nexus.dev.example.org:443/api/v1/
    vault_addr: https://vault.example.org:8200/
    vault_prefix: /nexus/dev/
    nexus_credentials: secret/registrar/nexus-dev
    login_client_id: Zr8Qe1vXb5nTg2Lk9Wm4Ys7Hc3Pd6JfAu0RoIiNqKxB
    allowed_hosts: [a.example.org]
  prod:
    nexus_url: https://nexus.example.org/base
    frontend_url: https://www.example.org
    vault_addr: https://vault.example.org:8200
    vault_mount: kv
    production: true
"""
BOTH = {"NEXUS_URL": "https://nexus.example.org", "VAULT_ADDR": "https://vault.example.org"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "registrar.yaml").write_text(FILE)
    return tmp_path


def refused(flags: Flags, environ: dict[str, str], cwd: Path, need: Need = Need.BOTH) -> UsageError:
    with pytest.raises(UsageError) as raised:
        load(flags, environ, cwd, need=need)
    assert raised.value.exit_code == 64
    assert raised.value.hint
    return raised.value


def message(text: str, cwd: Path) -> str:
    (cwd / "registrar.yaml").write_text(text)
    return refused(Flags(), {}, cwd).message


def test_whom_to_ask_is_declared_for_all_targets(tmp_path: Path) -> None:
    assert load(Flags(), BOTH, tmp_path).contact == ""
    (tmp_path / "registrar.yaml").write_text("contact: nexus-admins@example.org, room 12\ntargets: {dev: {}}")
    assert load(Flags(), BOTH, tmp_path).contact == "nexus-admins@example.org, room 12"


def test_where_vault_is_can_be_asked_for_without_a_way_to_log_in(tmp_path: Path) -> None:
    (tmp_path / "registrar.yaml").write_text("targets: {dev: {vault_auth: {method: cert}}}")
    found = load(Flags(), BOTH, tmp_path, need=Need.ADDRESS)
    assert (found.target.vault_addr, found.target.nexus_url) == ("https://vault.example.org", "")
    assert found.vault == VaultLogin()
    assert load(Flags(), {"BAO_ADDR": "https://bao.example.org"}, tmp_path, need=Need.ADDRESS).target.vault_addr
    assert "no Vault" in refused(Flags(), {}, tmp_path, Need.ADDRESS).message
    assert "certificate" in refused(Flags(), BOTH, tmp_path, Need.VAULT).message


def test_the_default_target_of_a_file(repository: Path) -> None:
    below = repository / "some" / "folder"
    below.mkdir(parents=True)
    settings = load(Flags(), {}, below)
    assert settings.target == Target(
        name="dev",
        nexus_url="https://nexus.dev.example.org",
        frontend_url="https://nexus.dev.example.org",
        vault_addr="https://vault.example.org:8200",
        vault_mount="secret",
        vault_prefix="nexus/dev",
        set="twin-platform",
        allowed_hosts=("a.example.org",),
    )
    assert settings.targets == ("dev", "prod")
    assert settings.known_targets == frozenset({"dev", "prod", "sandbox"})
    assert settings.manifests == repository / "apps"
    assert settings.config_file == repository / "registrar.yaml"
    assert settings.nexus.url == "https://nexus.dev.example.org"
    assert settings.nexus_credentials == "secret/registrar/nexus-dev"
    assert settings.nexus.login_client_id == "Zr8Qe1vXb5nTg2Lk9Wm4Ys7Hc3Pd6JfAu0RoIiNqKxB"
    assert settings.vault.addr == "https://vault.example.org:8200"
    assert settings.vault.timeout_s == 60


@pytest.mark.parametrize(
    ("flags", "environ"), [(Flags(target="prod"), {"REGISTRAR_TARGET": "dev"}), (Flags(), {"REGISTRAR_TARGET": "prod"})]
)
def test_another_target(repository: Path, flags: Flags, environ: dict[str, str]) -> None:
    assert load(flags, environ, repository).target == Target(
        name="prod",
        nexus_url="https://nexus.example.org/base",
        frontend_url="https://www.example.org",
        vault_addr="https://vault.example.org:8200",
        vault_mount="kv",
        vault_prefix="nexus",
        set="twin-platform",
        production=True,
    )


def test_the_only_target_needs_no_choice(tmp_path: Path) -> None:
    (tmp_path / "registrar.yaml").write_text("targets: {lab: {}}")
    assert load(Flags(), BOTH, tmp_path).target.name == "lab"


def test_several_targets_need_a_choice(tmp_path: Path) -> None:
    (tmp_path / "registrar.yaml").write_text("targets: {a: {vault_prefix: a}, b: {vault_prefix: b}}")
    error = refused(Flags(), BOTH, tmp_path)
    assert (error.message, error.hint) == ("there are several targets", "choose with --target: a, b")


def test_an_unknown_target(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    error = refused(Flags(target="prd"), {}, repository)
    assert (error.message, error.hint) == ("there is no target `prd`", "did you mean `prod`?")
    error = refused(Flags(target="prod"), BOTH, tmp_path_factory.mktemp("empty"))
    assert error.message == "there is no registrar.yaml, so there is no target `prod`"


def test_the_sandbox_is_a_target_without_being_declared(repository: Path) -> None:
    settings = load(Flags(target="sandbox"), BOTH, repository, need=Need.NOTHING)
    assert settings.target == Target("sandbox", "", "", "", set="twin-platform")
    assert refused(Flags(target="sandbox"), BOTH, repository).hint == "the built-in one is registrar --sandbox"


def test_without_a_file_two_variables_suffice(tmp_path: Path) -> None:
    settings = load(Flags(), BOTH, tmp_path)
    assert settings.target == Target(
        "default", "https://nexus.example.org", "https://nexus.example.org", "https://vault.example.org"
    )
    assert (settings.targets, settings.known_targets) == ((), None)
    assert (settings.manifests, settings.config_file) == (None, None)


def test_the_environment_fills_what_a_target_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "registrar.yaml").write_text("targets: {dev: {nexus_url: nexus.example.org}}")
    environ = BOTH | {
        "NEXUS_FRONTEND_URL": "https://www.example.org/",
        "REGISTRAR_VAULT_MOUNT": "kv/",
        "REGISTRAR_VAULT_PREFIX": "team",
    }
    assert load(Flags(), environ, tmp_path).target == Target(
        "dev", "https://nexus.example.org", "https://www.example.org", "https://vault.example.org", "kv", "team"
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "VAULT_ADDR",
            "https://prod.example.org",
            "VAULT_ADDR is https://prod.example.org, but the target `dev` has vault_addr https://vault.example.org:8200",
        ),
        (
            "NEXUS_URL",
            "https://nexus.example.org/api/v2",
            "NEXUS_URL is https://nexus.example.org, but the target `dev` has nexus_url https://nexus.dev.example.org",
        ),
        ("REGISTRAR_VAULT_PREFIX", "x", "REGISTRAR_VAULT_PREFIX is x, but the target `dev` has vault_prefix nexus/dev"),
    ],
)
def test_a_variable_that_contradicts_the_target(repository: Path, variable: str, value: str, said: str) -> None:
    error = refused(Flags(), {variable: value}, repository)
    flag = {"VAULT_ADDR": "--vault-addr", "NEXUS_URL": "--nexus-url"}.get(variable, "--vault-prefix")
    assert (error.message, error.hint) == (said, f"unset {variable}, or say which with {flag}")
    # Who needs neither service is not bothered, and a flag decides.
    assert (
        load(Flags(), {variable: value}, repository, need=Need.NOTHING).target == load(Flags(), {}, repository).target
    )
    decided = Flags(nexus_url="n.example.org", vault_addr="v.example.org", vault_prefix="f")
    assert load(decided, {variable: value}, repository).target.vault_addr == "https://v.example.org"


def test_a_variable_that_agrees_in_other_words(repository: Path) -> None:
    environ = {"NEXUS_URL": "https://NEXUS.dev.example.org/api", "VAULT_ADDR": "https://vault.example.org:8200"}
    assert load(Flags(), environ, repository) == load(Flags(), {}, repository)


def test_what_is_missing_is_an_error_where_it_is_needed(tmp_path: Path) -> None:
    assert refused(Flags(), {}, tmp_path).message == (
        "no Nexus: set nexus_url in registrar.yaml, NEXUS_URL or --nexus-url"
    )
    assert refused(Flags(), {}, tmp_path, Need.VAULT).message == (
        "no Vault: set vault_addr in registrar.yaml, VAULT_ADDR or --vault-addr"
    )
    assert load(Flags(), {}, tmp_path, need=Need.NOTHING) == Settings(Target("default", "", "", ""))
    assert load(Flags(vault_addr="v"), {}, tmp_path, need=Need.VAULT).target.vault_addr == "https://v"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("nexus.example.org", "https://nexus.example.org"),
        ("nexus.example.org:8443", "https://nexus.example.org:8443"),
        ("HTTPS://Nexus.Example.org/", "https://nexus.example.org"),
        ("https://nexus.example.org:443/api", "https://nexus.example.org"),
        ("https://nexus.example.org/api/v1/", "https://nexus.example.org"),
        ("https://nexus.example.org/api/v2", "https://nexus.example.org"),
        ("https://nexus.example.org/Base/api/v2", "https://nexus.example.org/Base"),
        ("https://nexus.example.org/api/v3", "https://nexus.example.org/api/v3"),
        ("https://nexus.example.org/myapi", "https://nexus.example.org/myapi"),
        ("http://localhost:80", "http://localhost"),
        ("http://127.0.0.1:5095/api/v1", "http://127.0.0.1:5095"),
        ("http://[::1]:00443", "http://[::1]:443"),
    ],
)
def test_a_nexus_url_has_one_form(tmp_path: Path, written: str, normal: str) -> None:
    settings = load(Flags(nexus_url=written), {}, tmp_path, need=Need.NEXUS)
    assert settings.target.nexus_url == settings.nexus.url == normal
    assert settings.target.frontend_url == normal.removesuffix("/Base").removesuffix("/api/v3").removesuffix("/myapi")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "--vault-addr is empty"),
        (
            "http://vault.example.org",
            "--vault-addr is http to another machine: everything sent there travels in the clear",
        ),
        (
            "https://me:hunter2@vault.example.org",
            "--vault-addr has user information before an @, which hides the real host",
        ),
        ("https://vault.example.org?x", "--vault-addr has a query"),
        ("https://vault.example.org/#", "--vault-addr has a fragment"),
        ("https://vault.example.org:x", "--vault-addr has a port that is not a number from 1 to 65535"),
        ("https://vault.example.org\n", "--vault-addr has a control character"),
        ("unix:///var/run/vault.sock", "--vault-addr has no host"),
        ("https://", "--vault-addr has no host"),
    ],
)
def test_addresses_that_are_refused(tmp_path: Path, written: str, said: str) -> None:
    assert refused(Flags(vault_addr=written), {}, tmp_path, Need.VAULT).message == said
    if written:
        environ = {"VAULT_ADDR": written}
        assert refused(Flags(), environ, tmp_path, Need.VAULT).message == said.replace("--vault-addr", "VAULT_ADDR")


@given(st.text(alphabet=st.sampled_from("htps:/@[]#?%.\\*a1 \t\né")) | st.text())
def test_an_address_is_normal_or_refused(text: str) -> None:
    for normal in (targets.address, targets.nexus_address, targets.folder):
        try:
            once = normal(text)
        except ValueError as error:
            assert str(error)
        else:
            assert once.isprintable()
            if normal is not targets.nexus_address:
                assert normal(once) == once


@pytest.mark.parametrize("prefix", ["", "/", "a//b", "..", "a/../b", ".registrar", "a/.b", "a b", "ä", "a\n"])
def test_folders_that_are_refused(tmp_path: Path, prefix: str) -> None:
    error = refused(Flags(vault_addr="v", vault_prefix=prefix), {}, tmp_path, Need.VAULT)
    assert error.message == "--vault-prefix is not a path of letters, digits, - and _"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target: {}", "registrar.yaml:1:1: registrar.yaml has no key `target`; did you mean `targets`?"),
        ("contact: [x]", "registrar.yaml:1:10: contact is a string, not a list"),
        ("targets: {dev: {nexus: x}}", "registrar.yaml:1:17: a target has no key `nexus`; did you mean `nexus_url`?"),
        ("targets: {dev: {}, dev: {}}", "registrar.yaml:1:20: the key `dev` is written twice; keep one of them"),
        ("targets: {5: {}}", "registrar.yaml:1:11: `5` is read as a number, not as a string; quote it"),
        ("targets: {a/b: {}}", "registrar.yaml:1:16: `a/b` is no name for a target; use letters, digits and -"),
        ("targets: {dev: {production: yes}}", "registrar.yaml:1:29: production is true or false; "),
        ("targets: {dev: {allowed_hosts: x}}", "registrar.yaml:1:32: allowed_hosts is a list, not a string; "),
        ("targets: {dev: {allowed_hosts: [1]}}", "registrar.yaml:1:33: a host of allowed_hosts is a string, but "),
        ("targets: {dev: {nexus_url: 'http://x'}}", "registrar.yaml:1:28: nexus_url is http to another machine"),
        ("targets: {dev: {vault_prefix: a/../b}}", "registrar.yaml:1:31: vault_prefix is not a path of letters"),
        (
            "default_target: prd\ntargets: {prod: {}}",
            "registrar.yaml:1:17: there is no target `prd`; did you mean `prod`?",
        ),
        ("set: [a]", "registrar.yaml:1:6: set is a string, not a list"),
        ('set: "a\\nb"', "registrar.yaml:1:6: set is not printable, or longer than 512 bytes"),
        ("set: a\nset: b", "registrar.yaml:2:1: the key `set` is written twice"),
        ("", "registrar.yaml:1:1: the file is empty"),
        ("targets: '", "registrar.yaml:1:10: this is not YAML: "),
        (
            "targets: {dev: {vault_token: x}}",
            "registrar.yaml:1:17: the key `vault_token` looks like that of a secret; ",
        ),
        (
            "set: Zr8Qe1vXb5nTg2Lk9Wm4Ys7Hc3Pd6JfAu0RoIiNqKxBwVt",
            "registrar.yaml:1:6: this looks like a secret; ",
        ),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, said: str) -> None:
    found = message(text, tmp_path)
    assert found.startswith(said)
    assert "\n" not in found


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    assert message("targets:\n  b: {x: 1}\n  a: {y: 1}\nzz: 1", tmp_path).count("\n") == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{}", "{}"),
        ("{vault_prefix: nexus}", "{}"),
        ("{vault_prefix: nexus/dev}", "{}"),
        ("{vault_prefix: a}", "{vault_prefix: a/b/c}"),
        ("{vault_addr: HTTPS://v:443/}", "{vault_addr: v}"),
        ("{vault_addr: v}", "{}"),
        ("{vault_mount: a/b, vault_prefix: c}", "{vault_mount: a, vault_prefix: b/c/d}"),
    ],
)
def test_two_targets_in_one_folder(tmp_path: Path, one: str, other: str) -> None:
    assert message(f"targets:\n  a: {one}\n  b: {other}\n", tmp_path) == (
        "registrar.yaml:3:6: the targets `a` and `b` would keep their records in one folder; "
        "give each a vault_prefix of its own, neither inside the other"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Location("https://a", "", "secret", "nexus"), Location("https://b", "", "secret", "nexus")),
        (Location("", "", "secret", "nexus"), Location("", "", "kv", "nexus")),
        (Location("", "", "secret", "nexus"), Location("", "", "secret", "nexus-dev")),
    ],
)
def test_folders_apart(one: Location, other: Location) -> None:
    assert not one.overlaps(other)
    assert one.overlaps(one)


def test_nothing_moves_a_target_into_the_folder_of_another(repository: Path) -> None:
    assert refused(Flags(vault_mount="kv"), {}, repository).message == (
        "the target `dev` would keep its records at kv/nexus/dev, "
        "which is in the folder of the target `prod`, or around it"
    )


def test_a_variable_that_does_not_exist(tmp_path: Path) -> None:
    error = refused(Flags(), {"REGISTRAR_TARGTE": "dev"}, tmp_path)
    assert (error.message, error.hint) == (
        "there is no variable `REGISTRAR_TARGTE`",
        "did you mean `REGISTRAR_TARGET`?",
    )


@pytest.mark.parametrize("named", ["flag", "variable"])
def test_a_named_file(repository: Path, tmp_path_factory: pytest.TempPathFactory, named: str) -> None:
    (repository / "registrar.yaml").rename(repository / "other.yaml")
    path = str(repository / "other.yaml")
    flags = Flags(config=path) if named == "flag" else Flags()
    environ = {"REGISTRAR_CONFIG": "nowhere.yaml" if named == "flag" else path}
    settings = load(flags, environ, tmp_path_factory.mktemp("elsewhere"))
    assert settings.manifests == repository / "apps"
    assert load(Flags(config="other.yaml"), {}, repository).config_file == repository / "other.yaml"


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    assert refused(Flags(config="no.yaml"), {}, tmp_path).message == "no.yaml cannot be read: No such file or directory"
    assert refused(Flags(config=""), BOTH, tmp_path).message == ". cannot be read: Is a directory"


def revealed(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


def token_of(settings: Settings) -> Secret | None:
    auth = settings.vault.auth
    assert auth.method is Method.TOKEN
    return auth.secret() if auth.secret else None


def test_credentials_of_the_environment(tmp_path: Path) -> None:
    environ = BOTH | {"NEXUS_TOKEN": "t", "NEXUS_API_KEY": "k", "NEXUS_API_SECRET": "s", "VAULT_TOKEN": "v"}
    settings = load(Flags(), environ, tmp_path)
    nexus = settings.nexus
    secrets = (nexus.token, nexus.api_key, nexus.api_secret, token_of(settings))
    assert [revealed(secret) for secret in secrets] == list("tksv")
    assert "Secret(********)" in repr(settings)
    # Who does not need a service gets no credentials for it.
    assert load(Flags(), environ, tmp_path, need=Need.VAULT).nexus.token is None
    assert token_of(load(Flags(), environ, tmp_path, need=Need.NEXUS)) is None


@pytest.mark.parametrize("variable", ["NEXUS_API_KEY", "NEXUS_API_SECRET"])
def test_half_a_key(tmp_path: Path, variable: str) -> None:
    error = refused(Flags(), BOTH | {variable: "x"}, tmp_path)
    assert error.message == "NEXUS_API_KEY and NEXUS_API_SECRET belong together"


@pytest.mark.parametrize(
    ("content", "token"),
    [(b"hvs.x", "hvs.x"), (b"hvs.x\n", "hvs.x"), (b"hvs.x\r\n", "hvs.x"), (b"", None), (b"\n", None)],
)
def test_the_token_of_vault_login(tmp_path: Path, content: bytes, token: str | None) -> None:
    (tmp_path / ".vault-token").write_bytes(content)
    environ = BOTH | {"HOME": str(tmp_path)}
    assert revealed(token_of(load(Flags(), environ, tmp_path))) == token
    assert revealed(token_of(load(Flags(), environ | {"VAULT_TOKEN": "own"}, tmp_path))) == "own"


def test_no_token_at_all(tmp_path: Path) -> None:
    assert token_of(load(Flags(), BOTH | {"HOME": str(tmp_path)}, tmp_path)) is None
    (tmp_path / ".vault-token").mkdir()
    error = refused(Flags(), BOTH | {"HOME": str(tmp_path)}, tmp_path)
    assert error.message == f"{tmp_path / '.vault-token'} cannot be read: Is a directory"


@pytest.mark.parametrize("token", ["hvs.x\ny", "hvs x", "hvs.x\n", "hvs.é", "\x00", "\udcff"])
@pytest.mark.parametrize("variable", ["VAULT_TOKEN", "NEXUS_TOKEN"])
def test_a_token_that_could_not_be_a_header(tmp_path: Path, variable: str, token: str) -> None:
    error = refused(Flags(), BOTH | {variable: token}, tmp_path)
    assert error.message == f"{variable} has spaces, line breaks or characters that no token has"


@pytest.mark.parametrize("content", [b"hvs.x\n\n", b"a\nb", b"\xff", b"a b"])
def test_a_token_file_that_has_more_than_a_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".vault-token").write_bytes(content)
    error = refused(Flags(), BOTH | {"HOME": str(tmp_path)}, tmp_path)
    assert error.message.startswith(f"{tmp_path / '.vault-token'} has spaces")


def test_the_variables_of_the_vault_client(tmp_path: Path) -> None:
    here = str(tmp_path)
    environ = BOTH | {
        "VAULT_NAMESPACE": "team",
        "VAULT_CACERT": here,
        "VAULT_CAPATH": here,
        "VAULT_CLIENT_CERT": here,
        "VAULT_CLIENT_KEY": here,
        "VAULT_TLS_SERVER_NAME": "vault",
        "VAULT_SKIP_VERIFY": "t",
        "VAULT_CLIENT_TIMEOUT": "1500ms",
        "NEXUS_CACERT": here,
    }
    settings = load(Flags(), environ, tmp_path)
    assert settings.vault == VaultLogin(
        "https://vault.example.org",
        namespace="team",
        tls=Tls("VAULT", here, here, here, here, "vault", skip_verify=True),
        timeout_s=1.5,
    )
    assert (settings.nexus.tls, settings.nexus.timeout_s) == (Tls("NEXUS", here), 60)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "VAULT_CACERT",
            "/nowhere/ca.pem",
            "VAULT_CACERT is /nowhere/ca.pem, which cannot be read: No such file or directory",
        ),
        (
            "NEXUS_CACERT",
            "/nowhere/ca.pem",
            "NEXUS_CACERT is /nowhere/ca.pem, which cannot be read: No such file or directory",
        ),
        ("VAULT_SKIP_VERIFY", "yes", "VAULT_SKIP_VERIFY is neither true nor false"),
        ("VAULT_CLIENT_TIMEOUT", "soon", "VAULT_CLIENT_TIMEOUT is not a duration such as 30s"),
        ("VAULT_CLIENT_TIMEOUT", "0", "VAULT_CLIENT_TIMEOUT is not a duration such as 30s"),
    ],
)
def test_variables_that_cannot_be_meant(tmp_path: Path, variable: str, value: str, said: str) -> None:
    assert refused(Flags(), BOTH | {variable: value}, tmp_path).message == said
    assert load(Flags(), BOTH | {variable: ""}, tmp_path) == load(Flags(), BOTH, tmp_path)


@pytest.mark.parametrize(("value", "seconds"), [("30", 30), ("30s", 30), ("2m", 120), ("1h", 3600), ("0.5s", 0.5)])
def test_timeouts(tmp_path: Path, value: str, seconds: float) -> None:
    environ = BOTH | {"VAULT_CLIENT_TIMEOUT": value}
    assert load(Flags(), environ, tmp_path).vault.timeout_s == seconds
    settings = load(Flags(timeout=5), environ, tmp_path)
    assert (settings.vault.timeout_s, settings.nexus.timeout_s) == (5, 5)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_timeout_that_is_none(tmp_path: Path, seconds: float) -> None:
    assert "above 0" in refused(Flags(timeout=seconds), BOTH, tmp_path).message


def test_the_state_folder() -> None:
    assert state_dir({"HOME": "/home/x"}) == Path("/home/x/.local/state/registrar")
    assert state_dir({"HOME": "/home/x", "XDG_STATE_HOME": "/state"}) == Path("/state/registrar")
    assert state_dir({"HOME": "/home/x", "XDG_STATE_HOME": "state"}) == Path("/home/x/.local/state/registrar")
    with pytest.raises(UsageError, match="no place"):
        state_dir({})


@given(st.binary(max_size=40) | st.text(max_size=60).map(lambda text: f"targets: {{dev: {text}}}".encode()))
def test_any_file_is_settings_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    try:
        load(Flags(config=str(file)), BOTH, file.parent)
    except UsageError as error:
        assert error.message


def test_what_is_needed_can_be_joined() -> None:
    joined = Need.VAULT | Need.SERVER
    assert [one for one in Need if one in joined] == [Need.SERVER, Need.PLACE, Need.VAULT_LOGIN, Need.VAULT_SERVER]
    assert Need.VAULT in joined
    assert Need.NEXUS not in joined
