"""Whatever is wrong: one clear message on stderr with a next step, the right exit code, and nothing has changed."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.cli.manifests import TWO
from tests.cli.program import Program, Result
from tests.cli.services import Services, serving
from tests.contract.wire import Wire, reply, unused_port
from tests.custody.proxy import say

PAGE = reply(200, "<!DOCTYPE html><html><title>Sign in</title></html>", "text/html; charset=utf-8")
READ_ONLY = """
path "secret/*" { capabilities = ["read", "list"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/capabilities-self" { capabilities = ["update"] }
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Services]:
    """Services for all of them: each has to leave them as they were."""
    with serving() as running:
        running.root.do("POST", "secret/data/nexus/theirs", {"data": {"key": "somebody's"}})
        running.root.do("POST", "secret/data/other/thing", {"data": {"api_key": "half-of-one"}})
        yield running


@pytest.fixture
def program(shared: Services, program: Program) -> Program:
    program.environ |= shared.environ
    program.write("apps.yaml", TWO)
    return program


def message(result: Result) -> str:
    """The message of a failed command: one, without a traceback, with one next step as its last line."""
    lines = result.err.splitlines()
    assert "Traceback" not in result.err + result.out
    begins = [line for line in lines if line.startswith("registrar: ")]
    ends = [line for line in lines if line.startswith("  → ")]
    assert (len(begins), len(ends)) == (1, 1), result.err
    assert lines[-1] == ends[0]
    assert len(lines[-1]) > len("  → x")
    return result.err


def refused(program: Program, services: Services, code: int, words: str, *arguments: str) -> Result:
    """The command fails so, changes nothing, and gives no secret away."""
    before = services.dump()
    result = program.call(*arguments)
    assert result.code == code, result.err
    assert re.search(words, message(result)), result.err
    assert services.dump() == before
    for name in ("NEXUS_API_SECRET", "NEXUS_TOKEN", "VAULT_TOKEN"):
        assert (program.environ.get(name) or "\0") not in result.out + result.err
    return result


# ── manifests ─────────────────────────────────────────────────────────────────────────────────────────────────────────

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\napps: [*c,*c]\n"
MANIFESTS: dict[str, tuple[str | bytes, str]] = {
    "not YAML": ("apps: [", r"apps\.yaml:\d+:\d+: error MF001: this is not YAML"),
    "duplicate key": (TWO + "    name: Other\n", r"apps\.yaml:11:5: error MF001: the key `name` is written twice"),
    "unknown key": (TWO + "    base_ur: x\n", r"no key `base_ur`\n    → did you mean `base_url`\?"),
    "tab": ("apps:\n\t- name: x\n", r"apps\.yaml:2:1: error MF001: a tab"),
    "alias bomb": (BOMB, r"error MF001: an alias may stand for a single value only"),
    "a number as a name": (TWO.replace("Sensor Catalogue", "12"), r"name is a string, but this is read as a number"),
    "10 MB": (b"#" + b"x" * 10_000_000, r"larger than 4 MiB"),
    "no text": (b"\xff\xfe\x00\x01" * 10, r"apps\.yaml:1:1: error MF001"),
    "empty": ("", r"the file is empty"),
    "a list": ("- name: x\n", r"a manifest is a mapping, not a list"),
    "javascript": (TWO.replace("https://sensors.example.org/auth/callback", "javascript:alert(1)"), r"error RU0"),
    "a secret": (TWO + f"    client_secret: {'S3cr3t' * 8}\n", r"error MF0"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_bad_manifest(case: str, program: Program, shared: Services) -> None:
    content, words = MANIFESTS[case]
    program.write("apps.yaml", content)
    for command in (("plan",), ("apply", "--yes")):
        result = refused(program, shared, 4, words, *command, "apps.yaml")
        assert result.out == ""
        assert result.err.endswith("\n  → registrar validate apps.yaml\n")
        assert "S3cr3t" not in result.err
        assert len(result.err) < 2000
    checked = program.call("validate", "apps.yaml")
    assert (checked.code, checked.err) == (4, "")  # what it finds is its data
    assert re.search(words, checked.out)


def test_every_finding_of_every_file_is_told_at_once(program: Program, shared: Services) -> None:
    program.write("m/a.yaml", TWO.replace("https://viewer.example.org/oauth", "http://viewer.example.org/oauth"))
    program.write("m/b.yml", "apps:\n  - {name: 12, redirect_uri: 'https://x.example.org/#'}\n")
    result = refused(program, shared, 4, "the manifests are not valid", "apply", "m", "--yes")
    assert re.findall(r"^(m/\w\.ya?ml:\d+:\d+): error (\w+)", result.err, re.MULTILINE) == [
        ("m/a.yaml:3:19", "RU003"),
        ("m/b.yml:2:12", "MF001"),
        ("m/b.yml:2:30", "RU002"),
    ]


# ── the command line and the environment ──────────────────────────────────────────────────────────────────────────────

APPLY = ("apply", "apps.yaml", "--yes")
WORDS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "missing path": (64, r"nowhere\.yaml does not exist", ("plan", "nowhere.yaml")),
    "no path": (64, r"no manifests were named", ("apply", "--yes")),
    "unknown command": (64, r"aply\n  → did you mean 'registrar apply'\?", ("aply",)),
    "hopeless command": (64, r"xyzzy\n  → registrar --help", ("xyzzy",)),
    "unknown subcommand": (64, r"'gte'(.|\n)*  → registrar creds --help", ("creds", "gte")),
    "unknown flag": (64, r"--vault-adr(.|\n)*  → registrar plan --help", ("plan", "apps.yaml", "--vault-adr", "x")),
    "flag without value": (64, r"--target(.|\n)*  → registrar plan --help", ("plan", "apps.yaml", "--target")),
    "no number": (64, r"--parallelism(.|\n)*  → registrar apply --help", (*APPLY, "--parallelism", "many")),
    "no name": (64, r"NAME(.|\n)*  → registrar show --help", ("show",)),
    "unknown target": (64, r"there is no target `staging`", ("plan", "apps.yaml", "--target", "staging")),
    "unknown application": (64, r"'nobody'\n  → registrar status", ("show", "nobody")),
    "misspelt application": (64, r"'viewr'\n  → did you mean 'viewer'", (*APPLY, "--only", "viewr")),
    "unknown credential": (64, r"no application is called 'nobody'", ("creds", "get", "nobody")),
    "no config": (64, r"there\.yaml cannot be read", (*APPLY, "--config", "there.yaml")),
    "no address": (64, r"--nexus-url has a space", (*APPLY, "--nexus-url", "not an address")),
    "no format": (64, r"'--output'(.|\n)*  → registrar plan --help", ("plan", "apps.yaml", "-o", "yaml")),
}


@pytest.mark.parametrize("case", WORDS)
def test_bad_words(case: str, program: Program, shared: Services) -> None:
    code, words, arguments = WORDS[case]
    assert refused(program, shared, code, words, *arguments).out == ""


ENVIRONMENTS: dict[str, tuple[str, Mapping[str, str | None]]] = {
    "no Nexus": (r"no Nexus: (.|\n)*NEXUS_URL", {"NEXUS_URL": None}),
    "no Vault": (r"no Vault: (.|\n)*VAULT_ADDR", {"VAULT_ADDR": None}),
    "no key": (
        r"no Nexus key\n  → registrar login, or set NEXUS_API_KEY",
        {"NEXUS_API_KEY": None, "NEXUS_API_SECRET": None},
    ),
    "half a key": (r"belong together", {"NEXUS_API_SECRET": None}),
    "no token": (r"no Vault token\n  → .*VAULT_TOKEN", {"VAULT_TOKEN": None}),
    "a token of two lines": (r"VAULT_TOKEN has spaces", {"VAULT_TOKEN": "hvs.one\nhvs.two"}),
    "unknown variable": (
        r"`REGISTRAR_VAULT_MONT`\n  → did you mean `REGISTRAR_VAULT_MOUNT`",
        {"REGISTRAR_VAULT_MONT": "kv"},
    ),
    "another variable": (r"`REGISTRAR_TOKEN`\n  → ", {"REGISTRAR_TOKEN": "hvs.secret"}),
    "no such file": (r"VAULT_CACERT is /nowhere", {"VAULT_CACERT": "/nowhere"}),
    "no certificate": (r"NEXUS_CACERT: apps\.yaml holds no certificate", {"NEXUS_CACERT": "apps.yaml"}),
    "no duration": (r"VAULT_CLIENT_TIMEOUT", {"VAULT_CLIENT_TIMEOUT": "soon"}),
}


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_a_bad_environment(case: str, program: Program, shared: Services) -> None:
    words, changes = ENVIRONMENTS[case]
    program.environ |= {name: value for name, value in changes.items() if value is not None}
    for name in [name for name, value in changes.items() if value is None]:
        del program.environ[name]
    result = refused(program, shared, 64, words, *APPLY)
    assert "hvs." not in result.err


REGISTRAR_YAML = """\
default_target: dev
targets:
  dev: {nexus_url: https://nexus.dev.example.gov, vault_addr: https://vault.example.gov}
  prod: {nexus_url: https://nexus.example.gov, vault_addr: https://vault.example.gov, vault_prefix: nexus/prod2}
"""


def test_a_variable_that_contradicts_the_target(program: Program, shared: Services) -> None:
    program.write("registrar.yaml", REGISTRAR_YAML.replace("nexus/prod2", "other"))
    del program.environ["NEXUS_URL"]
    contradicted = rf"VAULT_ADDR is {shared.running.vault_addr}, but the target `dev` has .*https://vault.example.gov"
    refused(program, shared, 64, contradicted, *APPLY)
    refused(program, shared, 64, "the target `prod`", *APPLY, "--target", "prod")


def test_a_config_that_is_wrong_in_two_places_has_each_on_its_line(program: Program, shared: Services) -> None:
    program.write("registrar.yaml", "targets:\n  dev: {vault_adr: x}\n  prod: 3\n")
    result = refused(program, shared, 64, "did you mean `vault_addr`", *APPLY)
    assert [line.partition(": ")[0] for line in result.err.splitlines()[:2]] == ["registrar", "    registrar.yaml:3:9"]
    program.write("registrar.yaml", REGISTRAR_YAML)
    refused(program, shared, 64, "`dev` and `prod` would keep their records in one folder", *APPLY)


def test_an_unknown_target_has_a_hint_that_reads_well(program: Program, shared: Services) -> None:
    program.write("registrar.yaml", REGISTRAR_YAML.replace("nexus/prod2", "other"))
    result = refused(program, shared, 64, "there is no target `staging`", *APPLY, "--target", "staging")
    assert result.err.count("dev") == 1


# ── services ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Trouble:
    """What the environment says in a case, and how the command ends then."""

    words: str
    environ: Callable[[Services], Mapping[str, str]]
    code: int = 3


def _https(url: str) -> str:
    return url.replace("http:", "https:")


def _ending(services: Services) -> str:
    return services.root.raw_token({"ttl": "20s", "renewable": False})[1].reveal()


def _short_lived(services: Services) -> str:
    _, token = services.root.raw_token({"ttl": "1s"})
    time.sleep(1.1)
    return token.reveal()


def _token(services: Services, policy: str) -> str:
    return services.root.token(policy, "nexus").reveal()


TROUBLES = {
    "the key is not a sysadmin's": Trouble(
        r"System administrator access required\n  → .*sysadmin",
        lambda s: {"NEXUS_API_KEY": s.running.user.api_key, "NEXUS_API_SECRET": s.running.user.api_secret},
    ),
    "the secret is wrong": Trouble(
        r"Nexus: it refuses the API key(.|\n)*NEXUS_API_KEY", lambda _: {"NEXUS_API_SECRET": "wrong" * 12}
    ),
    "the key is unknown": Trouble(r"Nexus: it refuses the API key", lambda _: {"NEXUS_API_KEY": "wrong" * 12}),
    "Nexus does not speak TLS": Trouble(r"Nexus: .*TLS: ", lambda s: {"NEXUS_URL": _https(s.running.nexus_url)}),
    "Vault does not speak TLS": Trouble(
        r"https://127.0.0.1:\d+(.|\n)*VAULT_ADDR", lambda s: {"VAULT_ADDR": _https(s.running.vault_addr)}
    ),
    "Nexus is Vault": Trouble(r"Nexus: ", lambda s: {"NEXUS_URL": s.running.vault_addr}),
    "Vault is Nexus": Trouble(r"not Vault", lambda s: {"VAULT_ADDR": s.running.nexus_url}),
    "the token is wrong": Trouble(r"Vault refuses read on secret/", lambda _: {"VAULT_TOKEN": "hvs.wrong"}),
    "the token has expired": Trouble(
        r"Vault refuses read on secret/.*: the token has ended(.|\n)*  → vault login",
        lambda s: {"VAULT_TOKEN": _short_lived(s)},
    ),
    "the token ends too soon": Trouble(
        r"the Vault token ends in \d+ s, and this run may need 6\d s", lambda s: {"VAULT_TOKEN": _ending(s)}
    ),
    "the token may only read": Trouble(
        r"Vault refuses create and update on secret/data/nexus/", lambda s: {"VAULT_TOKEN": _token(s, READ_ONLY)}
    ),
    "KV version 1": Trouble(
        r"is KV version 1, which ignores check-and-set", lambda s: {"REGISTRAR_VAULT_MOUNT": s.root.mount("1")}
    ),
}


@pytest.mark.parametrize("case", TROUBLES)
def test_a_service_that_will_not(case: str, program: Program, shared: Services) -> None:
    trouble = TROUBLES[case]
    program.environ |= trouble.environ(shared)
    refused(program, shared, trouble.code, trouble.words, *APPLY)


def test_a_mount_that_is_not_there(program: Program, shared: Services) -> None:
    program.environ["REGISTRAR_VAULT_MOUNT"] = "nowhere"
    refused(program, shared, 3, "nowhere", *APPLY)


@pytest.mark.parametrize("command", [APPLY, ("plan", "apps.yaml"), ("status",), ("recover", "--yes")])
@pytest.mark.parametrize("service", ["NEXUS_URL", "VAULT_ADDR"])
def test_a_service_that_is_down_or_somebody_else(
    service: str, command: tuple[str, ...], program: Program, shared: Services
) -> None:
    told = {"NEXUS_URL": "Nexus", "VAULT_ADDR": "Vault"}[service]
    with unused_port() as port:
        program.environ[service] = f"http://127.0.0.1:{port}"
        refused(program, shared, 3, told, *command)
    with Wire(PAGE) as page:
        program.environ[service] = page.url
        refused(program, shared, 3, told, *command)


def test_a_bad_manifest_is_told_before_a_service_that_is_away(program: Program, shared: Services) -> None:
    program.write("apps.yaml", TWO.replace("https://viewer.example.org/oauth/callback", "viewer"))
    with unused_port() as port:
        for service in ("NEXUS_URL", "VAULT_ADDR"):
            program.environ |= {**shared.environ, service: f"http://127.0.0.1:{port}"}
            result = refused(program, shared, 4, "the manifests are not valid", "plan", "apps.yaml")
            assert "apps.yaml:" in result.err
            assert "connection" not in result.err


def test_a_vault_that_is_sealed(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving() as services:
        program = Program(tmp_path_factory.mktemp("sealed"), services.environ)
        program.write("apps.yaml", TWO)
        services.root.do("POST", "sys/seal", {})
        for command in (APPLY, ("plan", "apps.yaml"), ("creds", "get", "viewer"), ("status",)):
            sealed = program.call(*command)
            assert sealed.code == 3
            assert message(sealed) == "registrar: Vault is sealed\n  → have an operator unseal it, then try again\n"
        assert services.registered() == []


def test_a_vault_that_takes_no_lock(connected: Program, services: Services) -> None:
    connected.write("apps.yaml", TWO)
    assert services.vault
    services.vault.on("POST", r"/\.registrar/lock", say(500, b'{"errors": ["1 error occurred"]}'), times=60)
    result = connected.call(*APPLY, "--lock-timeout", "0.1")
    assert result.code in (3, 6)
    assert len(services.vault.seen) < 60
    assert services.registered() == []


def test_a_path_that_holds_somebody_elses_secret(program: Program, shared: Services) -> None:
    program.write("apps.yaml", TWO.split("  - name: Sensor")[0].replace("path: viewer", "path: theirs"))
    before = shared.dump()
    blocked = program.call(*APPLY)
    assert blocked.code == 1
    assert "secret/nexus/theirs holds data that registrar did not write\n" in blocked.out
    assert "→ registrar adopt theirs --client-id ID" in blocked.out
    assert "somebody's" not in blocked.out + blocked.err
    assert shared.dump() == before
    result = refused(program, shared, 1, "secret/nexus/theirs holds no credential", "creds", "get", "theirs")
    assert "somebody's" not in result.err


def test_a_key_that_registrar_yaml_says_is_in_vault(program: Program, shared: Services) -> None:
    services = f"nexus_url: '{shared.running.nexus_url}', vault_addr: '{shared.running.vault_addr}'"
    kept = "targets:\n  dev: {%s, nexus_credentials: %s}\n"
    for name in ("NEXUS_API_KEY", "NEXUS_API_SECRET"):
        del program.environ[name]
    program.write("registrar.yaml", kept % (services, "secret/other/thing"))
    result = refused(program, shared, 3, "secret/other/thing has no api_secret\n  → vault kv patch", *APPLY)
    assert "half-of-one" not in result.err
    program.write("registrar.yaml", kept % (services, "secret/other/nothing"))
    refused(program, shared, 3, "secret/other/nothing", *APPLY)


def test_output_that_nobody_reads_is_no_traceback(program: Program) -> None:
    process = program.start("schema")
    assert process.stdout
    process.stdout.close()
    with contextlib.closing(process.stderr or process.stdout) as errors:
        assert errors.read() == ""
    assert process.wait(30) == 1
