"""What a program gets is what there is, byte for byte, through every shell and reader that can be asked here."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from dotenv import dotenv_values
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from registrar import variables
from registrar.client import FIELDS
from registrar.errors import RegistrarError, StepFailed, UsageError
from registrar.logins import SECRETS
from registrar.variables import Source, assigned, inherited, reserved, usual

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

BOTH = {"viewer": FIELDS, "lab/sensors": ("client_id", "client_secret")}


def test_an_application_has_its_usual_variables() -> None:
    assert list(assigned({"viewer": FIELDS}, {}, [])) == [
        "NEXUS_CLIENT_ID", "NEXUS_CLIENT_SECRET", "NEXUS_REDIRECT_URI", "NEXUS_AUTHORIZE_URL", "NEXUS_EXCHANGE_URL",
    ]  # fmt: skip


def test_two_applications_need_a_prefix_each() -> None:
    with pytest.raises(UsageError) as refused:
        assigned(BOTH, {}, [])
    assert refused.value.message == (
        "NEXUS_CLIENT_ID would be both the client_id of viewer and the client_id of lab/sensors"
    )
    assert refused.value.hint == "--prefix lab/sensors=NEXUS_LAB_SENSORS_"
    found = assigned(BOTH, {"lab/sensors": "NEXUS_LAB_SENSORS_"}, [])
    assert found["NEXUS_CLIENT_ID"] == Source("viewer", "client_id")
    assert found["NEXUS_LAB_SENSORS_CLIENT_ID"] == Source("lab/sensors", "client_id")


def test_a_chosen_name_is_instead_of_the_usual_one() -> None:
    secret = Source("viewer", "client_secret")
    found = assigned({"viewer": FIELDS}, {}, [("SECRET", secret), ("TOO", secret)])
    assert {name for name, source in found.items() if source == secret} == {"SECRET", "TOO"}
    assert len(found) == len(FIELDS) + 1


@pytest.mark.parametrize("other", ["client_secret", "redirect_uri"])
def test_a_chosen_name_that_is_taken(other: str) -> None:
    with pytest.raises(
        UsageError, match=f"NEXUS_CLIENT_ID would be both the client_id of viewer and the {other}"
    ) as no:
        assigned({"viewer": FIELDS}, {}, [("NEXUS_CLIENT_ID", Source("viewer", other))])
    assert no.value.hint == f"choose another name: --env NAME={other}"


def test_a_name_may_be_chosen_for_what_has_it_anyway() -> None:
    chosen = ("NEXUS_CLIENT_ID", Source("viewer", "client_id"))
    assert assigned({"viewer": FIELDS}, {}, [chosen, chosen]).keys() == assigned({"viewer": FIELDS}, {}, []).keys()


def test_names_may_be_swapped() -> None:
    swapped = [(usual(one), Source("viewer", other)) for one, other in zip(FIELDS[:2], FIELDS[1::-1], strict=True)]
    found = assigned({"viewer": FIELDS[:2]}, {}, swapped)
    assert {name: source.field for name, source in found.items()} == {
        "NEXUS_CLIENT_ID": "client_secret",
        "NEXUS_CLIENT_SECRET": "client_id",
    }


def test_what_is_not_known_is_reserved_too() -> None:
    assert "NEXUS_REDIRECT_URI" in reserved({"viewer": ("client_id",)}, {})
    assert "X_REDIRECT_URI" in reserved({"viewer": ("client_id",)}, {"viewer": "X_"})


@pytest.mark.parametrize(("name", "well"), [("A", True), ("_a1", True), ("1A", False), ("", False), ("Ä", False)])
def test_a_name_that_every_shell_can_spell(name: str, well: bool) -> None:
    assert variables.valid(name) is well
    assert not variables.valid(f"{name}-b")


# ── an environment ────────────────────────────────────────────────────────────────────────────────────────────────────

ENVIRON = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "EMPTY": "", "VAULT_TOKEN": "t", "VAULT_ADDR": "https://v"}


def test_what_registrar_logs_in_with_is_not_inherited() -> None:
    assert inherited(ENVIRON, pristine=False).keys() == ENVIRON.keys() - {"VAULT_TOKEN"}
    assert inherited(dict.fromkeys(SECRETS, "x"), pristine=False) == {}
    assert inherited(ENVIRON, pristine=False, keep=["VAULT_TOKEN"]) == ENVIRON


def test_a_pristine_environment_has_what_a_program_needs_to_run() -> None:
    assert inherited(ENVIRON, pristine=True).keys() == {"PATH", "HOME", "LC_ALL"}
    assert inherited(ENVIRON, pristine=True, keep=["EMPTY"]).keys() == {"PATH", "HOME", "LC_ALL", "EMPTY"}
    assert inherited({"PATH_OF_MINE": "x", "LC_": "x"}, pristine=True) == {}


# ── formats ───────────────────────────────────────────────────────────────────────────────────────────────────────────

NASTY = "'\"\\$`!#\n\r\t =~%*?{}()[]<>|&;\x1b\x7f\x85\u2028\ufeffé😀nexus"
values = st.one_of(st.text(st.sampled_from(NASTY)), st.text(st.characters(exclude_categories=["Cs"])))
without_null = values.filter(lambda value: "\0" not in value)
often = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SHELLS = ["sh", "dash", "bash", "ksh", "zsh", "busybox"]
PRINTING = 'for name in NEXUS_CLIENT_ID NEXUS_CLIENT_SECRET; do eval "printf \'%s\\\\0\' \\"\\$$name\\""; done'


def on_path() -> list[ParameterSet]:
    return [
        pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not on PATH"))
        for name in SHELLS
    ]


def shell_of(name: str) -> list[str]:
    return ["busybox", "sh"] if name == "busybox" else [name]


@pytest.mark.parametrize("name", on_path())
@given(one=without_null, other=without_null)
@example(one="$(exit 3)`exit 4`", other="'")
@example(one="\n\n", other="a'''b\\")
@often
def test_every_shell_reads_what_was_written(name: str, one: str, other: str) -> None:
    """By `eval "$(…)"` and from a file, whose line breaks at the end count too."""
    text = variables.written("shell", {"client_id": one, "client_secret": other})
    for script in (text, f"eval {shell_quoted(text)}"):
        done = subprocess.run([*shell_of(name), "-c", f"{script}\n{PRINTING}"], capture_output=True, check=True)
        assert done.stdout == f"{one}\0{other}\0".encode()
        assert done.stderr == b""


def shell_quoted(text: str) -> str:
    return '"' + "".join(f"\\{c}" if c in '"\\$`' else c for c in text) + '"'


@given(one=values, other=values)
@often
def test_json_and_yaml_are_read_as_what_was_written(one: str, other: str) -> None:
    held = {"client_id": one, "client_secret": other}
    assert json.loads(variables.written("json", held)) == held
    assert yaml.safe_load(variables.written("yaml", held)) == held


@pytest.mark.parametrize("value", ["no", "12", "0x1f", "2031-05-06", "null", "", "~", "1e3", "{a: b}", "- a", "a: b"])
def test_yaml_takes_no_text_for_anything_else(value: str) -> None:
    assert yaml.safe_load(variables.written("yaml", {"client_id": value})) == {"client_id": value}


@given(one=without_null, other=without_null)
@often
def test_an_env_file_is_read_as_docker_reads_it(one: str, other: str) -> None:
    try:
        text = variables.written("env", {"client_id": one, "client_secret": other})
    except UsageError as error:
        assert set(one + other) & set("\n\r")
        assert "has a line break, which an env file cannot hold" in error.message
        assert error.hint == "registrar creds get NAME --format shell, or json, or yaml"
    else:
        assert env_file(text.encode()) == {"NEXUS_CLIENT_ID": one, "NEXUS_CLIENT_SECRET": other}


def env_file(content: bytes) -> dict[str, str]:
    """As docker's own parser: line by line, no quotes, nothing trimmed behind the =."""
    found = {}
    for line in content.split(b"\n"):
        name, equals, value = line.removesuffix(b"\r").decode().partition("=")
        assert equals
        found[name] = value
    return found


# ── dotenv ────────────────────────────────────────────────────────────────────────────────────────────────────────────

NODE = """
const { parseEnv } = require('node:util');
process.stdin.setEncoding('utf8');
let text = '';
process.stdin.on('data', (more) => { text += more; });
process.stdin.on('end', () => {
  process.stdout.write(JSON.stringify(JSON.parse(text).map((file) => parseEnv(file))));
});
"""


def dotenv_text(one: str, other: str) -> str:
    """What is written, where it can be."""
    try:
        return variables.written("dotenv", {"client_id": one, "client_secret": other})
    except UsageError as error:
        assert "cannot hold" in error.message
    assume(False)
    raise AssertionError


@given(one=without_null, other=without_null)
@example(one="it's", other='say "it"')
@example(one="a\\nb", other="two\nlines'")
@settings(deadline=None)
def test_python_dotenv_reads_what_was_written(one: str, other: str) -> None:
    text = dotenv_text(one, other)
    assert dotenv_values(stream=io.StringIO(text + "\n", newline=None)) == {
        "NEXUS_CLIENT_ID": one,
        "NEXUS_CLIENT_SECRET": other,
    }


@pytest.mark.skipif(not shutil.which("node"), reason="node is not on PATH")
@given(pairs=st.lists(st.tuples(without_null, without_null), min_size=20, max_size=20))
@settings(max_examples=25, deadline=None)
def test_node_reads_what_was_written(pairs: list[tuple[str, str]]) -> None:
    known = {}
    for one, other in pairs:
        try:
            known[variables.written("dotenv", {"client_id": one, "client_secret": other})] = (one, other)
        except UsageError:
            continue
    if subprocess.run(
        ["node", "-e", "require('node:util').parseEnv.name"], capture_output=True, check=False
    ).returncode:
        pytest.skip("this node is older than util.parseEnv")
    done = subprocess.run(["node", "-e", NODE], input=json.dumps(list(known)).encode(), capture_output=True, check=True)
    found = [(read["NEXUS_CLIENT_ID"], read["NEXUS_CLIENT_SECRET"]) for read in json.loads(done.stdout)]
    assert found == list(known.values())


REFUSED = ["'\"", "a\\", "'\\\\", "${HOME}", "a\rb", "'$"]


@pytest.mark.parametrize("value", REFUSED)
def test_what_dotenv_readers_take_differently_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="NEXUS_CLIENT_ID has characters that its readers take differently") as refused:
        variables.written("dotenv", {"client_id": value})
    assert refused.value.hint == "registrar creds get NAME --format shell, or json, or yaml"


def test_what_nexus_gives_is_always_written() -> None:
    usual_values = {"client_secret": "aZ09-_" * 7, "redirect_uri": "https://x.example.org/cb?a=1&b=%20#x"}
    for format_ in variables.FORMATS:
        assert variables.written(format_, usual_values)
    assert variables.written("dotenv", {"client_id": "x"}) == "NEXUS_CLIENT_ID='x'"


# ── what cannot be written ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format_", ["env", "dotenv", "shell"])
def test_a_null_is_in_no_environment(format_: str) -> None:
    with pytest.raises(UsageError, match="NEXUS_CLIENT_SECRET has a null, which an environment cannot hold") as refused:
        variables.written(format_, {"client_id": "x", "client_secret": "a\0b"})
    assert refused.value.hint == "registrar creds get NAME --format json, or yaml"


def test_half_a_character_is_no_text() -> None:
    assert variables.encoded("é") == b"\xc3\xa9"
    with pytest.raises(StepFailed, match="is no text"):
        variables.encoded("\ud800")


@given(value=values, format_=st.sampled_from(sorted(variables.FORMATS)))
@example(value="secret'\"\\\0", format_="dotenv")
def test_no_message_has_a_value(value: str, format_: str) -> None:
    assume(len(value) > 3)
    try:
        variables.written(format_, {"client_secret": value})
    except RegistrarError as error:
        assert value not in error.message + error.hint


def test_the_command_offers_these_formats_and_fields() -> None:
    from registrar.cli import creds

    assert tuple(variables.FORMATS) == creds._FORMATS
    assert creds._FIELDS == FIELDS


def test_this_module_opens_no_secret() -> None:
    assert "reveal" not in Path(variables.__file__).read_text()
