"""`creds template`: what is printed is what the tools take, says a parser of each, and the tool itself where it is."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from registrar.cli.template import FORMS as OFFERED
from registrar.errors import UsageError
from registrar.model import Target
from registrar.policy import Role, grants, hcl
from registrar.templates import FORMS, Place, place, template
from tests.cli.hcl import parse
from tests.cli.manifests import TWO
from tests.cli.program import Program
from tests.cli.services import Services
from tests.contract.vaults import Server, running

ADDR = "https://vault.example.org:8200"
PLACES = {
    "plain": Place(ADDR, "", "secret", "nexus", "viewer"),
    "a namespace": Place(ADDR, "org/team", "kv-2/apps", "nexus/prod", "twin/viewer"),
    "words of YAML": Place("https://[2001:db8::1]/v.1", "null", "1.0", "on", "1e3"),
    "the mount once more": Place(ADDR, "no", "nexus", "nexus/data", "a-"),
    "long": Place(ADDR, "~", "_.x", "0x1f", "twin/" + "a" * 60 + "/b" + "c" * 60),
}
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@pytest.fixture(params=PLACES)
def at(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]


def uncommented(text: str) -> str:
    """With what is there to have its # taken off."""
    start = text.index("take the # off what follows")
    head, tail = text[:start], text[start:].partition("\n")[2]
    return head + "\n" + "\n".join(line.removeprefix("# ") for line in tail.splitlines())


def documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def assert_shaped(value: Any, schema: Any, where: str = "") -> None:
    """A value has just the keys of its schema, of their types; `?` after a key: it may be missing."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        required = {key for key in schema if not key.endswith("?")}
        assert required <= value.keys() <= {key.rstrip("?") for key in schema}, where
        for key, inner in value.items():
            assert_shaped(inner, schema.get(key, schema.get(f"{key}?")), f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        assert value, where
        for item in value:
            assert_shaped(item, schema[0], f"{where}[]")
    elif isinstance(schema, re.Pattern):
        assert isinstance(value, str), where
        assert schema.fullmatch(value), where
    else:
        assert type(value) is schema, where


# ── Kubernetes ────────────────────────────────────────────────────────────────────────────────────────────────────────

# Fields, whether they are required, and types: as in the operators' own CustomResourceDefinitions.
DURATION = re.compile(r"[0-9]+(s|m|h)")
NAMED = {"name": LABEL}
EXTERNAL_SECRET = {
    "apiVersion": re.compile(r"external-secrets\.io/v1"),
    "kind": re.compile("ExternalSecret"),
    "metadata": NAMED,
    "spec": {
        "refreshInterval?": DURATION,
        "secretStoreRef": {"name": LABEL, "kind?": re.compile("(Cluster)?SecretStore")},
        "target": {"name": LABEL, "creationPolicy?": re.compile("Owner|Orphan|Merge|None")},
        "data": [{"secretKey": re.compile("[-._a-zA-Z0-9]+"), "remoteRef": {"key": str, "property?": str}}],
    },
}
SECRET_STORE = {
    "apiVersion": re.compile(r"external-secrets\.io/v1"),
    "kind": re.compile("SecretStore"),
    "metadata": NAMED,
    "spec": {
        "provider": {
            "vault": {
                "server": str,
                "path?": str,
                "namespace?": str,
                "version?": re.compile("v1|v2"),
                "auth": {"kubernetes": {"mountPath": str, "role": str, "serviceAccountRef?": NAMED}},
            }
        }
    },
}
VSO = re.compile(r"secrets\.hashicorp\.com/v1beta1")
STATIC_SECRET = {
    "apiVersion": VSO,
    "kind": re.compile("VaultStaticSecret"),
    "metadata": NAMED,
    "spec": {
        "vaultAuthRef?": str,
        "namespace?": str,
        "mount": str,
        "type": re.compile("kv-v1|kv-v2"),
        "path": str,
        "refreshAfter?": DURATION,
        "destination": {
            "name": LABEL,
            "create": bool,
            "transformation?": {
                "excludeRaw?": bool,
                "excludes?": [str],
                "templates?": {"NEXUS_CLIENT_ID": {"text": str}, "NEXUS_CLIENT_SECRET": {"text": str}},
            },
        },
    },
}
CONNECTION = {
    "apiVersion": VSO,
    "kind": re.compile("VaultConnection"),
    "metadata": NAMED,
    "spec": {"address": str},
}
AUTH = {
    "apiVersion": VSO,
    "kind": re.compile("VaultAuth"),
    "metadata": NAMED,
    "spec": {
        "vaultConnectionRef": str,
        "namespace?": str,
        "method": re.compile("kubernetes|jwt|appRole|aws|gcp"),
        "mount": str,
        "kubernetes": {"role": str, "serviceAccount": str},
    },
}


def test_an_external_secret_and_its_store(at: Place) -> None:
    text = template("external-secrets", at)
    assert len(documents(text)) == 1
    secret, store = documents(uncommented(text))
    assert_shaped(secret, EXTERNAL_SECRET)
    assert_shaped(store, SECRET_STORE)
    assert store["metadata"]["name"] == secret["spec"]["secretStoreRef"]["name"]
    vault = store["spec"]["provider"]["vault"]
    assert (vault["server"], vault["path"], vault.get("namespace", "")) == (at.addr, at.mount, at.namespace)
    entries = secret["spec"]["data"]
    assert {entry["secretKey"]: entry["remoteRef"]["property"] for entry in entries} == {
        "NEXUS_CLIENT_ID": "client_id",
        "NEXUS_CLIENT_SECRET": "client_secret",
    }
    for entry in entries:
        assert asked(vault["path"], entry["remoteRef"]["key"]) == f"{at.mount}/data/{at.key}"


def asked(path: str, key: str) -> str:
    """What External Secrets asks Vault for: a key that begins with the store's path loses it, and `data/` after it."""
    if key.startswith(f"{path}/"):
        key = key.removeprefix(f"{path}/").removeprefix("data/")
    return f"{path}/data/{key}"


def test_a_static_secret_and_its_login(at: Place) -> None:
    text = template("vso", at)
    assert len(documents(text)) == 1
    secret, connection, auth = documents(uncommented(text))
    for found, schema in ((secret, STATIC_SECRET), (connection, CONNECTION), (auth, AUTH)):
        assert_shaped(found, schema)
        assert found["spec"].get("namespace", "") == (at.namespace if found is not connection else "")
    spec = secret["spec"]
    assert (spec["mount"], spec["path"], spec["type"]) == (at.mount, at.key, "kv-v2")
    assert (connection["spec"]["address"], auth["spec"]["vaultConnectionRef"]) == (
        at.addr,
        connection["metadata"]["name"],
    )
    assert spec["vaultAuthRef"] == auth["metadata"]["name"]
    texts = spec["destination"]["transformation"]["templates"]
    assert {name: entry["text"] for name, entry in texts.items()} == {
        "NEXUS_CLIENT_ID": '{{ get .Secrets "client_id" }}',
        "NEXUS_CLIENT_SECRET": '{{ get .Secrets "client_secret" }}',
    }


def test_names_are_labels_and_two_long_paths_have_two(at: Place) -> None:
    assert LABEL.fullmatch(at.label)
    other = Place(at.addr, at.namespace, at.mount, at.prefix, f"{at.path}z")
    assert LABEL.fullmatch(other.label)
    assert other.label != at.label


def test_the_shapes_notice_what_is_wrong() -> None:
    secret = documents(template("vso", PLACES["plain"]))[0]
    for broken in ({**secret, "kind": "VaultStatic"}, {**secret, "more": 1}, {k: secret[k] for k in ("kind", "spec")}):
        with pytest.raises(AssertionError):
            assert_shaped(broken, STATIC_SECRET)
    secret["spec"]["mount"] = 1.0
    with pytest.raises(AssertionError):
        assert_shaped(secret, STATIC_SECRET)


# ── docker ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_compose_file(at: Place) -> None:
    text = template("docker", at)
    found = yaml.safe_load(text)
    assert found.keys() == {"services", "secrets"}
    ((_, service),) = found["services"].items()
    assert service["secrets"] == list(found["secrets"])
    assert found["secrets"] == {"nexus_client_secret": {"environment": "NEXUS_CLIENT_SECRET"}}
    assert set(service["environment"]) | {"NEXUS_CLIENT_SECRET"} == {
        f"NEXUS_{field}" for field in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI", "AUTHORIZE_URL", "EXCHANGE_URL")
    }
    assert f"registrar exec {at.path} -- docker compose up -d" in text
    assert f"registrar creds get {at.path} --format env --out {at.label}.env" in text


# ── systemd ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def assignments(text: str) -> list[tuple[str, str]]:
    """The lines of the one section of a unit, in order: each an assignment, a comment or empty."""
    strict = configparser.RawConfigParser(delimiters="=", comment_prefixes="#", strict=False, interpolation=None)
    strict.optionxform = str  # type: ignore[assignment,method-assign]
    strict.read_string(text)
    assert strict.sections() == ["Service"]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines.pop(0) == "[Service]"
    pairs = [(name, value) for name, _, value in (line.partition("=") for line in lines)]
    assert {name for name, _ in pairs} == set(strict["Service"])
    return pairs


def test_a_drop_in_of_systemd(at: Place) -> None:
    found = assignments(template("systemd", at))
    assert {name for name, _ in found} == {"Environment", "EnvironmentFile", "ExecStart"}
    variables = dict(
        word.split("=", 1) for name, value in found if name == "Environment" for word in shlex.split(value)
    )
    assert {name: value for name, value in variables.items() if value} == {
        "VAULT_ADDR": at.addr,
        "REGISTRAR_VAULT_MOUNT": at.mount,
        "REGISTRAR_VAULT_PREFIX": at.prefix,
        **({"VAULT_NAMESPACE": at.namespace} if at.namespace else {}),
    }
    reset, command = (value for name, value in found if name == "ExecStart")
    assert reset == ""
    words = shlex.split(command)
    assert words[0].startswith("/")
    assert words[1 : words.index("--")] == ["exec", "--vault-auth", "approle", at.path]
    assert not re.search(r"[%$]", command)


def test_systemd_takes_the_drop_in(at: Place, tmp_path: Path) -> None:
    if not (program := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not on PATH: the drop-in is read by a parser of our own alone")
    unit = tmp_path / "app.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    drop_in = tmp_path / "app.service.d" / "nexus.conf"
    drop_in.parent.mkdir()

    def complaints(text: str) -> list[str]:
        drop_in.write_text(text)
        done = subprocess.run(
            [program, "verify", "--man=no", str(unit)],
            env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{tmp_path}:", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return [
            line for line in (done.stdout + done.stderr).splitlines() if "app.service" in line or "nexus.conf" in line
        ]

    text = re.sub(r"/usr/local/bin/\S+", "/bin/true", template("systemd", at))
    other = re.sub(r"(?s)\[Service\].*?(?=# Without)", "[Service]\n", text).replace("#   LoadC", "LoadC")
    assert complaints(text) == complaints(other.replace("#   Env", "Env")) == []
    assert complaints(text.replace("ExecStart=/bin/true", "ExecStrat=/bin/true"))


# ── Vault Agent ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_configuration_of_the_agent(at: Place) -> None:
    found = parse(template("vault-agent", at))
    assert found.keys() == {"vault", "auto_auth", "template", "template_config"}
    assert found["vault"] == {"address": at.addr}
    assert found["auto_auth"]["method"]["approle"].get("namespace", "") == at.namespace
    stanza = found["template"]
    assert (stanza["perms"], stanza["error_on_missing_key"]) == ("0600", True)
    assert stanza["destination"] == f"/run/{at.label}/nexus.env"
    assert stanza["contents"] == (
        f'{{{{ with secret "{at.mount}/data/{at.key}" -}}}}\n'
        "NEXUS_CLIENT_ID={{ .Data.data.client_id }}\n"
        "NEXUS_CLIENT_SECRET={{ .Data.data.client_secret }}\n"
        "{{- end }}\n"
    )
    restarted = template("vault-agent", at).replace("  # exec {", "  exec {")
    assert parse(restarted)["template"]["exec"] == {"command": ["systemctl", "restart", "YOUR.service"]}


@pytest.mark.parametrize(
    "text",
    ["a = ", "a {", 'a = "x" b', 'a "b" = 1', "a = 1\na = 2", 'a = "${x}"', "a = <<EOT\nx\n", "}", 'a "b" "c" {}'],
)
def test_the_parser_of_hcl_is_strict(text: str) -> None:
    with pytest.raises(ValueError, match=r"what is|no block|no value|does not end|twice"):
        parse(text)


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of OpenBao's for its own agent; skips, with what is missing, where it is not on PATH."""
    if not shutil.which("bao"):
        pytest.skip("bao is not on PATH: what is for its agent is read by a parser of our own alone")
    with running("bao-development", tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.mark.parametrize(
    ("mount", "namespace", "path"),
    [("secret", "", "viewer"), ("kv-2/the.apps", "", "twin/viewer"), ("kv", "team", "a")],
)
def test_the_agent_renders_the_credential(bao: Server, tmp_path: Path, mount: str, namespace: str, path: str) -> None:
    credential = {"client_id": "an-id_of-43", "client_secret": "a-secret_of-86"}
    if namespace:
        bao.do("POST", f"sys/namespaces/{namespace}", {})
    if mount != "secret":
        bao.mount(name=mount, namespace=namespace)
    bao.do("POST", f"{mount}/data/nexus/{path}", {"data": credential}, namespace)
    at = Place(bao.url, namespace, mount, "nexus", path)
    text = template("vault-agent", at)
    for folder in ("etc", "run"):
        text = text.replace(f'"/{folder}/', f'"{tmp_path}/{folder}/')
    configuration = tmp_path / "agent.hcl"
    configuration.write_text(text)
    approle(bao, at, tmp_path / "etc" / at.label)
    done = subprocess.run(
        [shutil.which("bao") or "bao", "agent", "-exit-after-auth", f"-config={configuration}"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rendered = tmp_path / "run" / at.label / "nexus.env"
    assert rendered.read_text() == "NEXUS_CLIENT_ID=an-id_of-43\nNEXUS_CLIENT_SECRET=a-secret_of-86\n"
    assert stat.S_IMODE(rendered.stat().st_mode) == 0o600
    assert credential["client_secret"] not in done.stdout + done.stderr


def approle(server: Server, at: Place, folder: Path) -> None:
    """A role with a developer's policy for that record, and what the agent logs in with."""
    lines = hcl(grants(Role.DEVELOPER, at.mount, at.prefix, paths=[at.path]))
    policy = server.policy(lines, at.prefix, at.namespace)
    if "approle/" not in server.do("GET", "sys/auth", None, at.namespace):
        server.do("POST", "sys/auth/approle", {"type": "approle"}, at.namespace)
    role = f"auth/approle/role/{at.label}"
    server.do("POST", role, {"token_policies": [policy], "token_no_default_policy": True}, at.namespace)
    folder.mkdir(parents=True)
    (folder / "role-id").write_text(server.do("GET", f"{role}/role-id", None, at.namespace)["role_id"])
    (folder / "secret-id").write_text(server.do("POST", f"{role}/secret-id", {}, at.namespace)["secret_id"])


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_offers_every_form() -> None:
    assert OFFERED == FORMS


@pytest.mark.parametrize("form", FORMS)
def test_every_form_names_the_rights_that_it_takes_and_where_it_comes_from(form: str) -> None:
    text = template(form, PLACES["plain"])
    assert '#   path "secret/data/nexus/viewer" { capabilities = ["read"] }\n' in text
    assert re.search(r"^# Written after \S*(\.\w+/|\(\d\))", text, re.MULTILINE)


@pytest.mark.parametrize("form", FORMS)
def test_a_path_is_taken_as_it_is_and_nothing_is_asked(form: str, program: Program) -> None:
    """It may be wanted before there is a record, or a login."""
    program.environ["VAULT_ADDR"] = "http://127.0.0.1:1"
    result = program.call("creds", "template", form, "twin/viewer", "--vault-mount", "kv", "--vault-prefix", "n/prod")
    assert (result.code, result.err) == (0, "")
    assert result.out == template(form, Place("http://127.0.0.1:1", "", "kv", "n/prod", "twin/viewer")) + "\n"


def test_the_target_says_where(program: Program) -> None:
    place_of = "vault_addr: https://vault.example.org, vault_mount: kv, vault_namespace: org/team"
    login = "vault_auth: {method: cert}"  # which would need a certificate, if anybody logged in
    program.write(
        "registrar.yaml", f"targets: {{prod: {{{place_of}, {login}}}, dev: {{vault_addr: https://v.example}}}}"
    )
    result = program.call("creds", "template", "vso", "viewer", "--target", "prod")
    assert (result.code, result.err) == (0, "")
    assert result.out == template("vso", Place("https://vault.example.org", "org/team", "kv", "nexus", "viewer")) + "\n"
    unknown = program.call("creds", "template", "vso", "viewer")
    assert (unknown.code, "there are several targets" in unknown.err) == (64, True)


def test_the_address_of_openbao_is_read_as_well(program: Program) -> None:
    program.environ["BAO_ADDR"] = "https://bao.example.org"
    assert 'address = "https://bao.example.org"' in program.call("creds", "template", "vault-agent", "viewer").out
    program.environ["VAULT_ADDR"] = "https://vault.example.org"
    assert program.call("creds", "template", "vault-agent", "viewer").code == 64


def test_without_an_address_of_vault_it_is_said_what_to_set(program: Program) -> None:
    result = program.call("creds", "template", "docker", "viewer")
    assert (result.code, result.out) == (64, "")
    assert "export VAULT_ADDR=https://" in result.err


def test_a_name_is_looked_up_in_metadata_alone(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    assert connected.call("apply", "apps.yaml", "--yes").code == 0
    planner = hcl(grants(Role.PLANNER, "secret", "nexus"))
    connected.environ["VAULT_TOKEN"] = services.root.token(planner, "nexus").reveal()
    assert services.vault
    services.vault.seen.clear()
    by_name = connected.call("creds", "template", "vault-agent", "digital twin VIEWER")
    assert (by_name.code, by_name.err) == (0, "")
    assert '{{ with secret "secret/data/nexus/viewer" -}}' in by_name.out
    asked_for = {seen.path for seen in services.vault.seen}
    assert asked_for, "a name has to be looked up"
    assert not {path for path in asked_for if "/data/" in path and not path.endswith(".registrar/lock")}
    services.vault.seen.clear()
    assert connected.call("creds", "template", "vault-agent", "viewer").out == by_name.out
    assert services.vault.seen == []
    unknown = connected.call("creds", "template", "vault-agent", "Nobody's")
    assert (unknown.code, unknown.out) == (64, "")
    assert 'no application is called "Nobody\'s"' in unknown.err


def test_the_sandbox_is_a_place_too(program: Program) -> None:
    result = program.call("--sandbox", "creds", "template", "systemd", "viewer")
    assert result.code == 0
    assert 'Environment="VAULT_ADDR=http://127.0.0.1:' in result.out


@pytest.mark.parametrize("form", ["", "nomad", "VSO"])
def test_another_form_is_a_usage_error(form: str, program: Program) -> None:
    result = program.call("creds", "template", form, "viewer")
    assert (result.code, result.out) == (64, "")
    assert "vault-agent" in result.err


@pytest.mark.parametrize("character", ['"', "'", "$", "%", "{", "\\", "\n", " ", "#", "é"])
def test_what_a_syntax_would_read_as_its_own_is_refused(character: str) -> None:
    target = Target("default", "", "", ADDR)
    assert place(target, "viewer") == PLACES["plain"]
    with pytest.raises(UsageError, match="has characters that a template would have to escape") as refused:
        place(target, f"view{character}er")
    assert refused.value.hint
    with pytest.raises(UsageError, match="escape"):
        place(Target("default", "", "", f"https://vault.example.org/{character}"), "viewer")
