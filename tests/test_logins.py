"""Which login and which secret: what decides, what is refused, and what an error never shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registrar.config import Flags, Need, load
from registrar.errors import UsageError
from registrar.logins import AUTH_KEYS, METHODS, AuthFlags, Method, VaultAuth, vault_auth

NOWHERE = Path("/nowhere")
CANARY = "canary-0123456789-of-the-login"
JWT = {"method": "jwt", "mount": "gitlab", "role": "ci", "audience": "https://vault.example.org"}
GITHUB = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://github.example.org/token?api-version=2.0",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": CANARY,
}
WHERE = {"VAULT_ADDR": "https://vault.example.org"}


def chosen(
    declared: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    beside: Path = NOWHERE,
    /,
    **flags: str,
) -> VaultAuth:
    return vault_auth(declared or {}, beside, AuthFlags(**flags), environ or {})


def refused(
    declared: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    beside: Path = NOWHERE,
    /,
    **flags: str,
) -> tuple[str, str]:
    """The words and the hint, neither with a secret in it."""
    with pytest.raises(UsageError) as raised:
        shown(chosen(declared, environ, beside, **flags))
    assert raised.value.hint
    assert CANARY not in repr(vars(raised.value))
    return raised.value.message, raised.value.hint


def shown(auth: VaultAuth) -> str | None:
    """The secret of a login."""
    return auth.secret().reveal() if auth.secret else None


# ── the method ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("declared", "environ", "flags", "method"),
    [
        ({}, {}, {}, "token"),
        (JWT, {"VAULT_ID_TOKEN": "i"}, {}, "jwt"),
        (JWT, {"VAULT_ID_TOKEN": "i", "VAULT_TOKEN": ""}, {}, "jwt"),
        (JWT, {"VAULT_ID_TOKEN": "i", "VAULT_TOKEN": "t"}, {}, "token"),
        (JWT, {"VAULT_ROLE_ID": "r", "VAULT_TOKEN": "t"}, {"method": "approle"}, "approle"),
        (JWT, {"VAULT_ID_TOKEN": "i", "VAULT_TOKEN": "t"}, {"method": "jwt"}, "jwt"),
        (JWT, {}, {"method": "token"}, "token"),
    ],
)
def test_the_flag_then_an_exported_token_then_the_file(
    declared: dict[str, str], environ: dict[str, str], flags: dict[str, str], method: str
) -> None:
    assert chosen(declared, environ, **flags).method == method


@pytest.mark.parametrize("method", ["", "github", "Token"])
def test_no_such_method(method: str) -> None:
    assert refused(method=method) == (
        f"there is no Vault login by `{method}`",
        "--vault-auth token|approle|jwt|kubernetes|userpass|ldap|cert",
    )


def test_the_file_s_values_count_for_its_own_method_alone() -> None:
    own = chosen(JWT, {"VAULT_ID_TOKEN": "i"})
    assert (own.mount, own.role, own.audience) == ("gitlab", "ci", "https://vault.example.org")
    other = chosen(JWT, {"VAULT_ROLE_ID": "r"}, method="approle")
    assert (other.mount, other.role, other.audience) == ("approle", "r", "")


@pytest.mark.parametrize(
    ("declared", "environ", "flags", "mount", "role", "username"),
    [
        (JWT, {"VAULT_ID_TOKEN": "i"}, {"mount": "github", "role": "cd"}, "github", "cd", ""),
        (JWT, {"VAULT_ID_TOKEN": "i"}, {"role": ""}, "gitlab", "", ""),
        ({"method": "approle"}, {"VAULT_ROLE_ID": "r"}, {}, "approle", "r", ""),
        ({"method": "approle", "role": "r"}, {"VAULT_ROLE_ID": "r"}, {}, "approle", "r", ""),
        ({"method": "approle", "role": "r"}, {"VAULT_ROLE_ID": "x"}, {"role": "f"}, "approle", "f", ""),
        ({"method": "ldap", "username": "ada"}, {}, {}, "ldap", "", "ada"),
        ({"method": "ldap", "username": "ada"}, {}, {"username": "bob"}, "ldap", "", "bob"),
        ({"method": "cert"}, {"VAULT_CLIENT_CERT": "c"}, {"role": "ci"}, "cert", "ci", ""),
        ({"method": "kubernetes", "role": "ci"}, {"VAULT_ROLE_ID": "x"}, {}, "kubernetes", "ci", ""),
    ],
)
def test_a_flag_overrides_and_the_environment_fills(
    declared: dict[str, str], environ: dict[str, str], flags: dict[str, str], mount: str, role: str, username: str
) -> None:
    auth = chosen(declared, environ, **flags)
    assert (auth.mount, auth.role, auth.username) == (mount, role, username)


@pytest.mark.parametrize(
    ("method", "flags", "flag"),
    [
        ("token", {"role": "ci"}, "--vault-role"),
        ("token", {"mount": "x"}, "--vault-auth-mount"),
        ("approle", {"username": "ada"}, "--vault-username"),
        ("cert", {"username": "ada"}, "--vault-username"),
        ("userpass", {"role": "ci"}, "--vault-role"),
    ],
)
def test_a_flag_that_says_nothing_to_the_method(method: str, flags: dict[str, str], flag: str) -> None:
    message, _ = refused(method=method, **flags)
    assert message == f"{flag} says nothing to a Vault login by {method}"


@pytest.mark.parametrize(
    ("declared", "environ", "words", "way"),
    [
        ({"method": "approle"}, {"VAULT_SECRET_ID": CANARY}, "approle needs the id of a role", "VAULT_ROLE_ID"),
        (
            {"method": "approle", "role": "a"},
            {"VAULT_ROLE_ID": CANARY},
            "VAULT_ROLE_ID is not the role",
            "--vault-role",
        ),
        ({"method": "kubernetes"}, {"VAULT_ROLE_ID": "r"}, "kubernetes needs a role", "--vault-role"),
        ({"method": "userpass"}, {"VAULT_PASSWORD": CANARY}, "userpass needs a user name", "--vault-username"),
        ({"method": "ldap"}, {"VAULT_PASSWORD": CANARY}, "ldap needs a user name", "--vault-username"),
        ({"method": "cert"}, {}, "cert needs a certificate", "VAULT_CLIENT_CERT"),
        (JWT, {}, "jwt needs an id token", "VAULT_ID_TOKEN"),
        (JWT, GITHUB | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}, "jwt needs an id token", "id-token: write"),
        (JWT, GITHUB | {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://evil.example"}, "is no https address", "GitHub"),
        (JWT, GITHUB | {"ACTIONS_ID_TOKEN_REQUEST_URL": "no"}, "is no https address", "GitHub"),
        (JWT, GITHUB | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": f"{CANARY} "}, "REQUEST_TOKEN has spaces", "set ACTIONS"),
        (JWT, {"VAULT_ID_TOKEN": f"{CANARY}\n"}, "VAULT_ID_TOKEN has spaces", "set VAULT_ID_TOKEN"),
        ({}, {"VAULT_TOKEN": f"{CANARY}\n"}, "VAULT_TOKEN has spaces", "set VAULT_TOKEN"),
        (
            {"method": "ldap", "username": "a"},
            {"VAULT_PASSWORD": f"{CANARY}\n"},
            "VAULT_PASSWORD is empty, or has characters that nobody types",
            "set VAULT_PASSWORD",
        ),
        (
            {"method": "jwt", "secret_file": "no"},
            {},
            "/nowhere/no, the secret of the Vault login, cannot",
            "secret_file",
        ),
        (
            {"method": "kubernetes", "role": "r"},
            {},
            "/var/run/secrets/kubernetes.io/serviceaccount/token, the secret of the Vault login, cannot",
            "secret_file",
        ),
    ],
)
def test_what_is_missing_or_cannot_be_meant(
    declared: dict[str, str], environ: dict[str, str], words: str, way: str
) -> None:
    message, hint = refused(declared, environ)
    assert words in message
    assert way in hint


# ── the secret ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "variable"),
    [
        ("approle", "VAULT_SECRET_ID"),
        ("jwt", "VAULT_ID_TOKEN"),
        ("userpass", "VAULT_PASSWORD"),
        ("ldap", "VAULT_PASSWORD"),
    ],
)
def test_a_variable_comes_before_the_file(tmp_path: Path, method: str, variable: str) -> None:
    (tmp_path / "secret").write_text("of-the-file\n")
    who = {"username": "ada"} if variable == "VAULT_PASSWORD" else {"role": "ci"}
    declared = {"method": method, "secret_file": "secret"} | who
    assert shown(chosen(declared, {variable: CANARY} | GITHUB, tmp_path)) == CANARY
    assert shown(chosen(declared, {variable: ""} | GITHUB, tmp_path)) == "of-the-file"
    assert shown(chosen({"method": method, "secret_file": ""} | who, GITHUB, tmp_path)) is None
    assert CANARY not in repr(chosen(declared, {variable: CANARY} | GITHUB, tmp_path))


def test_a_file_is_read_anew_at_every_login(tmp_path: Path) -> None:
    file = tmp_path / "of the job" / "token"
    declared = {"method": "kubernetes", "role": "ci", "secret_file": "of the job/token"}
    auth = chosen(declared, {"VAULT_ID_TOKEN": "another method's"}, tmp_path)
    file.parent.mkdir()
    for token in ("one", "two"):
        file.write_text(token)
        assert shown(auth) == token
    assert shown(chosen(declared | {"secret_file": str(file)}, {}, NOWHERE)) == "two"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", b"\xff\xfe", b"x\n\n"])
def test_a_file_that_holds_no_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    message, hint = refused({"method": "jwt", "secret_file": "secret"}, {}, tmp_path)
    assert message == f"{tmp_path}/secret has spaces, line breaks or characters that no token has"
    assert hint == f"write the secret into {tmp_path}/secret, and nothing else"


@example("0\r")
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_a_password_is_taken_as_it_is_or_refused(tmp_path_factory: pytest.TempPathFactory, password: str) -> None:
    file = tmp_path_factory.getbasetemp() / "password"
    file.write_bytes(f"{password}\n".encode())
    for environ in ({"VAULT_PASSWORD": password}, {}):
        declared = {"method": "userpass", "username": "ada", "secret_file": str(file)}
        # in a file, a carriage return before the line's end is the end that Windows writes
        meant = password if environ else password.removesuffix("\r")
        try:
            assert shown(chosen(declared, environ)) == meant
        except UsageError as error:
            assert not password.isprintable()
            assert password not in error.hint or password in str(file)


def test_github_is_asked_where_nothing_else_has_an_id_token() -> None:
    auth = chosen(JWT, GITHUB)
    assert auth.secret is None
    assert auth.github
    assert (auth.github.url, auth.github.token.reveal()) == (GITHUB["ACTIONS_ID_TOKEN_REQUEST_URL"], CANARY)
    assert CANARY not in repr(auth)
    assert chosen(JWT, GITHUB | {"VAULT_ID_TOKEN": "i"}).github is None
    assert chosen({"method": "approle", "role": "r"}, GITHUB).github is None


# ── the token of the Vault CLI ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("config", "helper"),
    [
        ('token_helper = "/opt/helper"\n', "/opt/helper"),
        ('token_helper="/opt/helper"', "/opt/helper"),
        ('  "token_helper" = "/opt/helper" # ours', "/opt/helper"),
        ('token_helper = "/opt/helper" // ours', "/opt/helper"),
        ('{"token_helper": "/opt/helper"}', "/opt/helper"),
        ('{\n  "token_helper":\n  "/opt/helper"\n}', "/opt/helper"),
        ('token_helper = "/opt/a \\"b\\" c\\\\d"', '/opt/a "b" c\\d'),
        ('# token_helper = "/opt/helper"', ""),
        ('// token_helper = "/opt/helper"', ""),
        ('/*\ntoken_helper = "/opt/helper"\n*/', ""),
        ('my_token_helper = "/opt/helper"', ""),
        ('token_helper = ""', ""),
        ('{"token_helper": 5}', ""),
        ("[]", ""),
        ("[" * 100_000, ""),
        ("", ""),
    ],
)
def test_the_token_helper_of_its_configuration(tmp_path: Path, config: str, helper: str) -> None:
    (tmp_path / ".vault-token").write_text("of-the-home")
    named = tmp_path / "config"
    for file, environ in (
        (named, {"VAULT_CONFIG_PATH": str(named)}),
        (tmp_path / ".vault", {}),
        (tmp_path / ".bao", {}),  # what OpenBao's own program reads
    ):
        file.write_text(config)
        auth = chosen({}, {"HOME": str(tmp_path)} | environ)
        assert (auth.helper, shown(auth)) == ((helper, None) if helper else ("", "of-the-home"))
        assert shown(chosen({}, {"HOME": str(tmp_path), "VAULT_TOKEN": "own"} | environ)) == "own"
        file.unlink()


def test_a_named_configuration_is_the_only_one(tmp_path: Path) -> None:
    (tmp_path / ".vault").write_text('token_helper = "/opt/helper"')
    assert chosen({}, {"HOME": str(tmp_path), "VAULT_CONFIG_PATH": str(tmp_path / "none")}).helper == ""
    (tmp_path / ".vault").unlink()
    (tmp_path / ".vault").mkdir()  # Ansible's
    assert chosen({}, {"HOME": str(tmp_path)}) == VaultAuth()


@given(st.text())
def test_any_configuration_is_a_helper_or_none(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "vault-config"
    file.write_text(json.dumps({"token_helper": text}))
    assert chosen({}, {"VAULT_CONFIG_PATH": str(file)}).helper == text
    file.write_bytes(text.encode("utf-8", "replace"))
    assert isinstance(chosen({}, {"VAULT_CONFIG_PATH": str(file)}).helper, str)


@pytest.mark.parametrize("home", ["", "/nowhere", "/dev/null"])
def test_a_home_that_is_none(home: str) -> None:
    assert shown(chosen({}, {"HOME": home})) is None


def test_the_token_at_home_is_no_token(tmp_path: Path) -> None:
    (tmp_path / ".vault-token").write_text(f"{CANARY} x")
    message, hint = refused({}, {"HOME": str(tmp_path)})
    assert (message.partition(" ")[0], hint) == (f"{tmp_path}/.vault-token", "vault login")


# ── what registrar.yaml says ──────────────────────────────────────────────────────────────────────────────────────────

KEYS = sorted({key for keys in AUTH_KEYS.values() for key in keys} - {"method"})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_says_nothing_to_the_method(tmp_path: Path, method: str, key: str) -> None:
    text = f"targets:\n  dev:\n    vault_auth:\n      method: {method}\n      {key}: some\n"
    (tmp_path / "registrar.yaml").write_text(text)
    if key in AUTH_KEYS[Method(method)]:
        load(Flags(), {}, tmp_path, need=Need.NOTHING)
        return
    with pytest.raises(UsageError) as raised:
        load(Flags(), {}, tmp_path, need=Need.NOTHING)
    column = len(f"      {key}: ") + 1
    assert raised.value.message.startswith(
        f"registrar.yaml:5:{column}: {key} says nothing to a Vault login by {method}; known are: method"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "1:29: vault_auth has no method; method: token|approle|"),
        ("approle", "1:29: vault_auth is a mapping, not a string"),
        ("{method: ''}", "1:38: there is no Vault login by ``; known are: approle"),
        ("{method: aprole}", "1:38: there is no Vault login by `aprole`; did you mean `approle`?"),
        ("{method: jwt, mount: a/../b}", "1:50: mount is not a path of letters, digits, - and _"),
        ("{method: jwt, mount: ''}", "1:50: mount is not a path"),
        ("{method: jwt, rol: x}", "1:43: vault_auth has no key `rol`; did you mean `role`?"),
        ("{method: ldap, password: x}", "1:44: the key `password` looks like that of a secret"),
        ("{method: jwt, role: 5}", "1:49: role is a string, but this is read as a number"),
    ],
)
def test_what_is_wrong_with_vault_auth(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "registrar.yaml").write_text(f"targets: {{dev: {{vault_auth: {text}}}}}")
    with pytest.raises(UsageError) as raised:
        load(Flags(), {}, tmp_path, need=Need.NOTHING)
    assert raised.value.message.startswith(f"registrar.yaml:{said}")
    assert "\n" not in raised.value.message


# ── with all settings ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mount_has_one_form(tmp_path: Path) -> None:
    (tmp_path / "registrar.yaml").write_text("targets: {dev: {vault_auth: {method: jwt, mount: /git/lab/}}}")
    environ = WHERE | {"VAULT_ID_TOKEN": "i"}
    assert load(Flags(), environ, tmp_path, need=Need.VAULT).vault.auth.mount == "git/lab"
    assert load(Flags(vault_auth_mount="x/"), environ, tmp_path, need=Need.VAULT).vault.auth.mount == "x"
    for wrong in ("", "../sys", "a b"):
        with pytest.raises(UsageError, match="--vault-auth-mount is not a path"):
            load(Flags(vault_auth_mount=wrong), environ, tmp_path, need=Need.VAULT)


TROUBLE = {
    "VAULT_TOKEN": "two words",
    "VAULT_CACERT": "/nowhere",
    "VAULT_CLIENT_KEY": "/nowhere",
    "VAULT_SKIP_VERIFY": "perhaps",
    "VAULT_CLIENT_TIMEOUT": "soon",
    "VAULT_NAMESPACE": "no such",
    "BAO_ADDR": "https://another.example.org",
    "BAO_NAMESPACE": "another",
    "BAO_TOKEN": CANARY,
}


def test_nothing_about_vault_counts_where_it_is_not_needed(tmp_path: Path) -> None:
    environ = WHERE | TROUBLE
    quiet = load(Flags(target="sandbox"), {}, tmp_path, need=Need.NOTHING)
    assert load(Flags(target="sandbox"), environ, tmp_path, need=Need.NOTHING) == quiet
    nexus = {"NEXUS_URL": "https://nexus.example.org", "NEXUS_TOKEN": "n"}
    assert load(Flags(), environ | nexus, tmp_path, need=Need.NEXUS) == load(Flags(), nexus, tmp_path, need=Need.NEXUS)
    place = {"BAO_TOKEN": "a", "VAULT_TOKEN": "b", "BAO_NAMESPACE": "team"}
    assert load(Flags(), place, tmp_path, need=Need.PLACE).target.vault_namespace == "team"


@pytest.mark.parametrize("name", ["TOKEN", "NAMESPACE", "ADDR", "SECRET_ID", "SKIP_VERIFY"])
def test_openbao_s_names_are_vault_s(tmp_path: Path, name: str) -> None:
    value = {"ADDR": "https://vault.example.org", "SKIP_VERIFY": "true"}.get(name, CANARY)
    one = load(Flags(), WHERE | {f"VAULT_{name}": value}, tmp_path, need=Need.VAULT)
    for environ in (
        {f"BAO_{name}": value},
        {f"BAO_{name}": value, f"VAULT_{name}": value},
        {f"BAO_{name}": value, f"VAULT_{name}": ""},
        {f"BAO_{name}": "", f"VAULT_{name}": value},
    ):
        other = load(Flags(), WHERE | environ if name != "ADDR" else environ, tmp_path, need=Need.VAULT)
        assert other == one
        assert shown(other.vault.auth) == shown(one.vault.auth)
    with pytest.raises(UsageError, match=f"^BAO_{name} and VAULT_{name} contradict one another$") as raised:
        load(Flags(), {f"BAO_{name}": f"{value}x", f"VAULT_{name}": value}, tmp_path, need=Need.VAULT)
    assert CANARY not in repr(vars(raised.value))


def test_the_root_namespace_may_be_declared(tmp_path: Path) -> None:
    (tmp_path / "registrar.yaml").write_text("targets: {dev: {vault_namespace: root}}")
    with pytest.raises(UsageError, match="VAULT_NAMESPACE is team, but the target `dev` has vault_namespace ``"):
        load(Flags(), WHERE | {"VAULT_NAMESPACE": "team"}, tmp_path, need=Need.VAULT)
    assert load(Flags(), WHERE | {"VAULT_NAMESPACE": "root/"}, tmp_path, need=Need.VAULT).vault.namespace == ""
    (tmp_path / "registrar.yaml").write_text("targets: {dev: {vault_namespace: team}}")
    with pytest.raises(UsageError, match="VAULT_NAMESPACE is root, but the target `dev` has vault_namespace team"):
        load(Flags(), WHERE | {"VAULT_NAMESPACE": "root"}, tmp_path, need=Need.VAULT)
    assert load(Flags(vault_namespace="root"), WHERE, tmp_path, need=Need.VAULT).vault.namespace == ""


def test_settings_show_no_secret(tmp_path: Path) -> None:
    nexus = {f"NEXUS_{name}": CANARY for name in ("TOKEN", "API_KEY", "API_SECRET")}
    others = {"NEXUS_URL": "https://nexus.example.org", "HTTPS_PROXY": f"http://me:{CANARY}@proxy.example.org"}
    logins: list[tuple[str, dict[str, str]]] = [
        ("token", {"VAULT_TOKEN": CANARY}),
        ("approle", {"VAULT_ROLE_ID": "r", "VAULT_SECRET_ID": CANARY}),
        ("jwt", {"VAULT_ID_TOKEN": CANARY}),
        ("jwt", GITHUB),
    ]
    for method, environ in logins:
        settings = load(Flags(vault_auth=method), WHERE | nexus | others | environ, tmp_path)
        assert CANARY not in repr(settings)
        assert settings.proxies["https"].endswith("proxy.example.org")
