"""Manifests: what is read, what is refused and where, alike with both of PyYAML's parsers."""

from __future__ import annotations

import builtins
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from registrar import document, manifest
from registrar.errors import UsageError
from registrar.lint import Level
from registrar.manifest import Manifests, slug
from registrar.model import PATH, Application, Target

DEV = Target("dev", "", "", "")
STDIN = [Path("-")]
SECRET = "Zr8Qe1vXb5nTg2Lk9Wm4Ys7Hc3Pd6JfAu0RoIiNqKxBwVt"


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def parser(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "_LOADER", getattr(yaml, request.param))
        yield


def load(text: str | bytes, target: str = "dev", targets: list[str] | None = None) -> Manifests:
    data = text if isinstance(text, bytes) else text.encode()
    return manifest.load(STDIN, Target(target, "", "", ""), stdin=data, targets=targets)


def findings(text: str | bytes, target: str = "dev", targets: list[str] | None = None) -> list[tuple[str, str, str]]:
    """Rule, line:column and message of each error."""
    return [
        (finding.rule, f"{finding.line}:{finding.column}", finding.message)
        for finding in load(text, target, targets).errors
    ]


def entry(line: str) -> str:
    return (
        f"apps:\n  - name: A\n    redirect_uri: https://a.example.org/cb\n    owner_email: a@example.org\n    {line}\n"
    )


def test_an_application_is_read_as_it_is_written() -> None:
    loaded = load(
        """
apps:
  - name: "Digital  Twin Viewer"
    redirect_uri: https://Viewer.example.org:443/oauth/callback
    base_url: 'https://viewer.example.org/'
    owner_email: twin-team@example.org
    description: |
      Two lines,
      kept as they are
    path: viewer
    protected: true
"""
    )
    assert [finding.rule for finding in loaded.findings] == ["RU015"]
    assert loaded.files == ("<stdin>",)
    assert loaded.applications == (
        Application(
            path="viewer",
            name="Digital  Twin Viewer",
            redirect_uri="https://Viewer.example.org:443/oauth/callback",
            base_url="https://viewer.example.org/",
            owner_email="twin-team@example.org",
            description="Two lines,\nkept as they are\n",
            protected=True,
            source="<stdin>:3:5",
        ),
    )


def test_omitted_is_not_empty() -> None:
    (application,) = load(entry('description: ""')).applications
    assert application.description == ""
    assert application.base_url is None
    assert application.path == "a"


def test_no_applications_is_a_valid_manifest() -> None:
    assert load("apps: []") == Manifests((), (), ("<stdin>",))


TARGETS = """
apps:
  - name: Viewer
    redirect_uri: https://viewer.example.org/cb
    owner_email: a@example.org
    targets:
      dev: {redirect_uri: "http://viewer.example.org/cb", name: Viewer (dev), protected: true}
      test: {path: elsewhere}
      prod: false
"""


def test_targets_replace_fields() -> None:
    loaded = load(TARGETS)
    (application,) = loaded.applications
    assert (application.name, application.path, application.protected) == ("Viewer (dev)", "viewer", True)
    # The finding is where the target says it, not where the entry does.
    (finding,) = loaded.findings
    assert (finding.rule, finding.line, finding.column) == ("RU003", 7, 27)
    assert [application.path for application in load(TARGETS, "test").applications] == ["elsewhere"]
    assert load(TARGETS, "prod") == Manifests((), (), ("<stdin>",))
    assert [application.path for application in load(TARGETS, "other").applications] == ["viewer"]


def test_unknown_targets_are_found_where_the_targets_are_known() -> None:
    assert findings(TARGETS, "prod") == []
    assert findings(TARGETS, "prod", ["dev", "tests"]) == [("MF001", "8:13", "there is no target `test`")]
    (finding,) = load(TARGETS, "prod", ["dev", "tests"]).findings
    assert finding.hint == "did you mean `tests`?"


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("base_url: 5", "5:15", "base_url is a string, but this is read as a number"),
        ("base_url: 1.5", "5:15", "base_url is a string, but this is read as a number"),
        ("base_url: 0x1F", "5:15", "base_url is a string, but this is read as a number"),
        ("base_url: 12:30", "5:15", "base_url is a string, but this is read as a number"),
        ("base_url: yes", "5:15", "base_url is a string, but this is read as a boolean"),
        ("base_url: 2024-02-30", "5:15", "base_url is a string, but this is read as a date"),
        ("base_url:", "5:14", "base_url has no value"),
        ("base_url: ~", "5:15", "base_url has no value"),
        ("base_url: null", "5:15", "base_url has no value"),
        ("base_url: [a]", "5:15", "base_url is a string, not a list"),
        ("base_url: {client_secret: a}", "5:15", "base_url is a string, not a mapping"),
        ("base_url: !!int '5'", "5:15", "base_url is a string, but this is read as a tagged value"),
        ("base_url: !!python/object/apply:os.system [id]", "5:15", "a tag is not allowed here"),
        ("protected: yes", "5:16", "protected is true or false"),
        ("protected: 'true'", "5:16", "protected is true or false"),
        ("protected: 1", "5:16", "protected is true or false"),
        ("protected:", "5:15", "protected is true or false"),
        ("targets: [dev]", "5:14", "targets is a mapping, not a list"),
        ("targets:", "5:13", "targets is a mapping, not no value"),
        ("targets: {dev: true}", "5:20", "true says nothing here"),
        ("targets: {dev: no}", "5:20", "`dev` is true or false"),
        ("targets: {dev: [a]}", "5:20", "a target of an application is a mapping, not a list"),
        ("targets: {prod: {base_url: 5}}", "5:32", "base_url is a string, but this is read as a number"),
        ("targets: {prod: {targets: {}}}", "5:22", "a target of an application has no key `targets`"),
        ("targets: {on: false}", "5:15", "`on` is read as a boolean, not as a string"),
        ("name: B", "5:5", "the key `name` is written twice"),
        ("[a]: b", "5:5", "a key is a string, not a list"),
        ("redirect_url: x", "5:5", "an application has no key `redirect_url`"),
        ("1: x", "5:5", "an application has no key `1`"),
        ("<<: {base_url: x}", "5:5", "an application has no key `<<`"),
        ("base_url: &x {a: b}\n    path: *x", "6:11", "an alias may stand for a single value only"),
        ("base_url: *x", "5:15", "an alias may stand for a single value only"),
        ("base_url: " + "[" * 20, "5:28", "this is nested too deeply"),
        ("base_url: 'a", "5:15", None),
        ("base_url: {a", "5:15", None),
        ("base_url: [a", "5:15", None),
        ("base_url: a: b", "5:16", None),
        ("\tbase_url: a", "5:5", "a tab where YAML wants spaces"),
        ("base_url: @a", "5:15", None),
    ],
)
def test_what_yaml_says_is_not_guessed(line: str, place: str, message: str | None) -> None:
    found = findings(entry(line))
    assert [(rule, where) for rule, where, _ in found] == [("MF001", place)]
    if message:
        assert found[0][2] == message
    else:
        assert found[0][2].startswith("this is not YAML: ")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("redirect_url: x", "did you mean `redirect_uri`?"),
        (
            "zzz: x",
            "known are: base_url, description, name, owner_email, path, protected, redirect_uri, targets",
        ),
        ("base_url: 5", "quote it"),
        ("base_url:", 'write "" for an empty one, or leave the key out'),
    ],
)
def test_findings_say_what_to_do(line: str, hint: str) -> None:
    assert [finding.hint for finding in load(entry(line)).findings] == [hint]


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        (b"", "1:1", "the file is empty"),
        (b"# nothing\n", "1:1", "the file is empty"),
        (b"---\n", "2:1", "a manifest is a mapping, not no value"),
        (b"[]", "1:1", "a manifest is a mapping, not a list"),
        (b"text", "1:1", "a manifest is a mapping, not a string"),
        (b"{}", "1:1", "a manifest has a list `apps`"),
        (b"apps:\n", "1:6", "apps is a list, not no value"),
        (b"apps: {}\n", "1:7", "apps is a list, not a mapping"),
        (b"apps: [a]\n", "1:8", "an application is a mapping, not a string"),
        (b"app: []\n", "1:1", "a manifest has no key `app`"),
        (b"apps: []\n---\napps: []\n", "2:1", "a second document begins here"),
        (b"\xef\xbb\xbfapps: []\n", "1:1", "the file begins with a byte order mark"),
        ("apps: []".encode("utf-16"), "1:1", "the file begins with a byte order mark"),
        (b"apps: []\n# caf\xe9\n", "2:6", "the file is not UTF-8 here"),
        (b"apps: []\r\n# \x00\n", "2:3", "the character U+0000 is not allowed"),
        ("apps: []\n#\x85\u2028\ufeff".encode(), "2:4", "the character U+FEFF is not allowed"),
        (b"apps: []\n%", "2:1", None),
        (b"%YAML 1." + b"9" * 5000 + b"\n--- a", "1:1", None),
        (b'apps: "\\UFFFFFFFF"', None, None),
    ],
)
def test_files_that_are_no_manifests(data: bytes, place: str | None, message: str | None) -> None:
    ((rule, where, said),) = findings(data)
    assert rule == "MF001"
    assert said == message if message else said.startswith(("this is not YAML", "a second"))
    assert where == place or message is None


def test_half_a_surrogate_pair_is_no_text() -> None:
    ((rule, where, _),) = findings(entry('base_url: "\\ud800"'))
    assert (rule, where[:2]) == ("MF001", "5:")


def test_required_keys() -> None:
    loaded = load("apps:\n  - path: a\n    owner_email: a@example.org\n")
    assert [(finding.rule, finding.message) for finding in loaded.findings] == [
        ("AP001", "the application has no name"),
        ("RU001", "the application has no redirect_uri"),
    ]
    assert {str(finding.place) for finding in loaded.findings} == {"<stdin>:2:5"}


def test_a_name_of_the_wrong_type_has_one_finding() -> None:
    text = "apps:\n  - name: 5\n    redirect_uri: https://a.example.org/cb\n    owner_email: a@example.org\n"
    assert findings(text) == [("MF001", "2:11", "name is a string, but this is read as a number")]


def test_a_name_without_letters_needs_a_path() -> None:
    loaded = load(entry("base_url: ''").replace("name: A", "name: 名前"))
    assert findings(entry("base_url: ''").replace("name: A", "name: 名前")) == [
        ("AP003", "2:11", "the name has no letters or digits to make a path of")
    ]
    assert loaded.findings[0].hint.startswith("set `path`")


def test_an_anchor_may_stand_for_one_value() -> None:
    text = "apps:\n" + "".join(
        f"  - {{name: {name}, redirect_uri: 'https://{name}.example.org/cb', owner_email: {owner}}}\n"
        for name, owner in (("a", "&team team@example.org"), ("b", "*team"))
    )
    loaded = load(text)
    assert loaded.findings == ()
    assert [application.owner_email for application in loaded.applications] == ["team@example.org"] * 2


def test_a_finding_about_an_alias_is_where_it_is_used() -> None:
    text = entry("description: &x ''\n    base_url: &y ftp://a.example.org\n    path: *y")
    assert [(rule, place) for rule, place, _ in findings(text)] == [("BU001", "6:15"), ("AP003", "7:11")]


@pytest.mark.parametrize(
    "bomb",
    [
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 30)),
        "apps: &a [*a]",
        "apps: " + "[" * 100_000,
        "apps: " + "{a: " * 100_000,
        "apps:\n" + "".join(f"{' ' * n}- \n" for n in range(1, 1000)),
        "- " * 100_000,
        "? " * 100_000,
        "apps: [{name: a, path: " + "a/" * 100_000 + "a}]",
        "apps: [{name: a, redirect_uri: '" + "/" * 100_000 + "%'}]",
        f"# {f'{SECRET} ' * 3_000}",
    ],
)
def test_bombs_do_not_explode(bomb: str) -> None:
    begin = time.monotonic()
    assert findings(bomb)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("key", ["client_secret", "clientSecret", "password", "api-key", "NEXUS_TOKEN", "private_key"])
def test_a_key_of_a_secret(key: str) -> None:
    assert findings(entry(f"{key}: hunter2")) == [("MF002", "5:5", f"the key `{key}` looks like that of a secret")]


@pytest.mark.parametrize(
    ("line", "place", "level"),
    [
        (f"description: {SECRET}", (5, 18), Level.ERROR),
        (f"description: '{SECRET}'", (5, 19), Level.ERROR),
        (f"description: see hvs.{SECRET} there", (5, 26), Level.ERROR),
        (f"# {SECRET}", (5, 7), Level.ERROR),
        ("description: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", (5, 18), Level.ERROR),
        ("# -----BEGIN RSA PRIVATE KEY-----", (5, 7), Level.ERROR),
        ("# -----BEGIN PRIVATE KEY-----", (5, 7), Level.ERROR),
        (f"base_url: https://a.example.org/{SECRET}", (5, 37), Level.WARNING),
    ],
)
def test_a_value_like_a_secret(line: str, place: tuple[int, int], level: Level) -> None:
    (finding,) = [finding for finding in load(entry(line)).findings if finding.rule == "MF002"]
    assert (finding.line, finding.column) == place
    assert finding.level is level
    assert SECRET[:8] not in str(load(entry(line)).findings)


@pytest.mark.parametrize(
    "line",
    [
        "description: the-three-dimensional-viewer-of-all-the-plant-models",
        "description: TheThreeDimensionalViewerOfAllThePlantModels",
        "# --------------------------------------------------------------",
        "base_url: https://a-rather-long-host-name-of-some-cloud-provider-west-2.example.org",
        "# 123e4567-e89b-12d3-a456-426614174000",
    ],
)
def test_a_value_unlike_a_secret(line: str) -> None:
    assert "MF002" not in {finding.rule for finding in load(entry(line)).findings}


def test_a_secret_is_seen_in_a_file_that_is_no_yaml() -> None:
    assert [rule for rule, _, _ in findings(f"apps: [\n# {SECRET}\n")] == ["MF002", "MF001"]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def app(name: str) -> str:
    return f"apps: [{{name: {name}, redirect_uri: 'https://{name}.example.org/cb', owner_email: a@example.org}}]"


def test_a_folder_is_read_whole_and_in_order(tmp_path: Path) -> None:
    names = ["b.yaml", "a.yml", "sub/c.YAML", ".hidden.yaml", ".git/d.yaml", "readme.md"]
    write(tmp_path, {name: app(f"app{number}") for number, name in enumerate(names)})
    loaded = manifest.load([tmp_path, tmp_path / "b.yaml"], DEV)
    assert loaded.findings == ()
    assert loaded.files == tuple(str(tmp_path / name) for name in ("a.yml", "b.yaml", "sub/c.YAML"))
    assert [application.name for application in loaded.applications] == ["app1", "app0", "app2"]


def test_all_findings_of_all_files_come_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"c.yaml": app("x"), "a.yaml": "apps: [{}, 5]", "b.yaml": "apps: [", "d.yaml": app("x")})
    loaded = manifest.load([tmp_path], DEV)
    assert [(finding.rule, Path(finding.file).name) for finding in loaded.findings] == [
        ("AP001", "a.yaml"),
        ("AP004", "a.yaml"),
        ("RU001", "a.yaml"),
        ("MF001", "a.yaml"),
        ("MF001", "b.yaml"),
        ("AP001", "d.yaml"),
        ("AP003", "d.yaml"),
        ("RU018", "d.yaml"),
    ]


def test_a_folder_without_manifests(tmp_path: Path) -> None:
    (finding,) = manifest.load([tmp_path], DEV).findings
    assert (finding.message, finding.file) == ("the folder has no manifests", str(tmp_path))


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing does not exist") as raised:
        manifest.load([tmp_path / "missing"], DEV)
    assert raised.value.exit_code == 64


def test_links_stay_inside_the_folder(tmp_path: Path) -> None:
    write(tmp_path, {"out/o.yaml": app("o"), "in/..data/m.yaml": app("m"), "in/sub/s.yaml": app("s")})
    write(tmp_path, {"in/..data/mounted/d.yaml": app("d")})
    inside = tmp_path / "in"
    (inside / "m.yaml").symlink_to("..data/m.yaml")  # as Kubernetes mounts a ConfigMap
    (inside / "mounted").symlink_to("..data/mounted")
    (inside / "again.yaml").symlink_to("sub/s.yaml")
    (inside / "loop").symlink_to(".")
    (inside / "sub" / "up").symlink_to("..")
    (inside / "file.yaml").symlink_to("../out/o.yaml")
    (inside / "folder").symlink_to("../out")
    (inside / "readme").symlink_to("../out/o.yaml")
    (inside / "dangling.yaml").symlink_to("nothing.yaml")
    (inside / "self.yaml").symlink_to("self.yaml")
    loaded = manifest.load([inside], DEV)
    assert [(Path(finding.file).name, finding.message) for finding in loaded.findings] == [
        ("dangling.yaml", "this is not a file"),
        ("file.yaml", "the link leads out of the folder"),
        ("folder", "the link leads out of the folder"),
        ("self.yaml", "this is not a file"),
    ]
    assert [application.name for application in loaded.applications] == ["s", "m", "d"]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert [finding.message for finding in manifest.load([tmp_path], DEV).findings] == ["this is not a file"]


def test_a_file_more_is_one_more_to_open_and_none_to_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of files on a network file system take as long as what is asked about each."""
    asked: Counter[str] = Counter()
    for name in ("stat", "lstat", "readlink", "open", "scandir", "listdir"):
        real = getattr(os, name)

        def counting(*words: Any, name: str = name, real: Callable[..., Any] = real, **more: Any) -> Any:
            asked[name] += 1
            return real(*words, **more)

        monkeypatch.setattr(os, name, counting)
    counts = []
    for many in (2, 20):
        write(tmp_path, {f"{number}.yaml": app(f"app-{number}") for number in range(many)})
        asked.clear()
        assert len(manifest.load([tmp_path], DEV).applications) == many
        counts.append(asked.copy())
    assert counts[0] == counts[1]
    assert counts[0]["scandir"] == 1


def test_a_file_is_opened_and_parsed_once_for_all_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = app("b").replace("{", "{targets: {prod: {redirect_uri: http://localhost/cb, protected: 1}}, ")
    texts = [app("a"), local, "apps: [", "apps: [{name: x, y: 1}]"]
    write(tmp_path, {f"{number}.yaml": text for number, text in enumerate(texts)})
    chosen = [DEV, Target("prod", "", "", "", production=True), Target("test", "", "", "")]
    alone = [manifest.load([tmp_path], target) for target in chosen]
    opened: Counter[str] = Counter()
    parsed: list[str] = []
    open_it, loader = open, document._LOADER

    def counting(file: str, *words: Any, **more: Any) -> Any:
        opened[Path(file).name] += 1
        return open_it(file, *words, **more)

    def parsing(text: str) -> Any:
        parsed.append(text)
        return loader(text)

    monkeypatch.setattr(builtins, "open", counting)
    monkeypatch.setattr(document, "_LOADER", parsing)
    assert manifest.load_each([tmp_path], chosen) == alone
    assert len({loaded.findings for loaded in alone}) > 1
    assert opened == {f"{number}.yaml": 1 for number in range(len(texts))}
    assert parsed == texts


def calls(work: Callable[[], object]) -> int:
    """How often this calls a function written in Python."""
    count = 0

    def counting(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # what others have left behind is not this work's
    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


@pytest.mark.parametrize("together", [True, False])
def test_an_application_more_is_as_much_work_as_the_one_before(tmp_path: Path, together: bool) -> None:
    """However many there are, in one file or in a file each."""
    counts = []
    for many in (10, 100, 1000):
        folder = tmp_path / str(many)
        texts = [app(f"app-{number:04}").removeprefix("apps: [").removesuffix("]") for number in range(many)]
        if together:
            write(folder, {"all.yaml": "apps:\n" + "".join(f"- {text}\n" for text in texts)})
        else:
            write(folder, {f"{number:04}.yaml": f"apps:\n- {text}\n" for number, text in enumerate(texts)})
        counts.append(calls(lambda folder=folder: manifest.load([folder], DEV)))  # type: ignore[misc]
    few, more = (counts[1] - counts[0]) / 90, (counts[2] - counts[1]) / 900
    assert more == pytest.approx(few, rel=0.01)
    if document._LOADER is not yaml.SafeLoader:  # which is written in Python itself
        assert more < (130 if together else 180)


def test_what_cannot_be_read_is_forgotten_at_once() -> None:
    """The search for cycles rests meanwhile, so that none may hold on to the text that was given up."""
    for text in ("a: [", "a: !x b", "*a", "--- a\n--- b", "\tx", '"\\UFFFFFFFF"', "[" * 99, "\x01", "apps: [{a: b}]"):
        load(text)
        gc.collect()
        gc.disable()
        try:
            load(text)
            assert gc.collect() == 0, text
        finally:
            gc.enable()


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.yaml": app("a"), "b.yaml": app("b")})
    opened = open

    def refuse(file: str, mode: str, buffering: int) -> object:
        if file.endswith("a.yaml"):
            raise PermissionError(13, "Permission denied")
        return opened(file, mode, buffering)

    monkeypatch.setattr(builtins, "open", refuse)
    loaded = manifest.load([tmp_path], DEV)
    assert [finding.message for finding in loaded.findings] == ["the file cannot be read: Permission denied"]
    assert [application.name for application in loaded.applications] == ["b"]


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"- " * 5_000_000)
    begin = time.monotonic()
    (finding,) = manifest.load([tmp_path], DEV).findings
    assert finding.message == "the file is larger than 4 MiB"
    assert time.monotonic() - begin < 1


def test_file_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J\n.yaml").write_text("")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.yaml")).write_text("")
    for finding in manifest.load([tmp_path], DEV).findings:
        assert finding.file.isprintable()
        assert finding.file.encode()


def test_a_folder_and_standard_input(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": app("a")})
    loaded = manifest.load([tmp_path, Path("-")], DEV, stdin=app("b").encode())
    assert [application.name for application in loaded.applications] == ["a", "b"]
    assert loaded.files == (str(tmp_path / "a.yaml"), "<stdin>")


_WORDS = r"""apps: name: targets: - &a *a { } [ ] , ? : ' " \u !!str ! !<x> %TAG | >- --- ... # ~ yes é 1"""
_YAMLISH = st.lists(st.sampled_from([*_WORDS.split(" "), " ", "  ", "\n", "\n", "\t"]), max_size=25).map("".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_YAMLISH | st.text())
@example('apps: [{name: "\\ud800", redirect_uri: "\\udc00"}]')
@example("%TAG ! tag:%ff\n--- !x a")
@example("apps: [{1: a, 1: b}]")
def test_any_text_gives_findings_or_applications(text: str) -> None:
    loaded = load(text.encode(errors="surrogatepass"), "dev", ["dev"])
    assert loaded.errors or loaded.applications or "apps" in text
    for finding in loaded.findings:
        assert finding.line > 0
        assert finding.column > 0
        assert finding.message.isprintable()
    if not loaded.errors:
        assert all(application.path and application.redirect_uri for application in loaded.applications)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_any_bytes_give_findings(data: bytes) -> None:
    assert load(data).errors


def comparable(node: document.Node) -> object:
    """A node without the places of empty values, which the parsers see before or after the line break."""
    match node:
        case document.Scalar():
            return node if node.text else node.kind
        case document.Sequence():
            return node.line, node.column, [comparable(item) for item in node.items]
        case document.Mapping():
            return node.line, node.column, [(comparable(key), comparable(value)) for key, value in node.pairs]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_YAMLISH)
def test_both_parsers_read_the_same(text: str) -> None:
    read = []
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(document, "_LOADER", loader)
            reader = document.Reader("a")
            root = reader.read(text.encode())
            if root is None:
                return  # one of the two may be stricter about what is hardly YAML
            read.append(comparable(root))
    assert read[0] == read[1]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Digital Twin Viewer", "digital-twin-viewer"),
        ("  Ärger & Größe (2) ", "arger-grosse-2"),
        ("\uff36iewer", "viewer"),
        ("a/b", "a-b"),
        ("℡ Büro", "tel-buro"),
        ("名前", ""),
        ("…", ""),
    ],
)
def test_slugs(name: str, path: str) -> None:
    assert slug(name) == path


@given(st.text(max_size=50))
def test_a_slug_is_a_path(name: str) -> None:
    path = slug(name)
    assert not path or len(path) > 128 or PATH.fullmatch(path)
    assert slug(path) == path


def test_the_schema_knows_every_key() -> None:
    schema = manifest.schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    application = schema["properties"]["apps"]["items"]
    assert tuple(application["properties"]) == manifest._KEYS
    assert application["required"] == ["name", "redirect_uri"]
    difference = application["properties"]["targets"]["additionalProperties"]["anyOf"][1]
    assert tuple(difference["properties"]) == manifest._OVERRIDES
    assert not application["additionalProperties"]


def test_a_file_that_is_wrong_everywhere_is_told_of_a_thousand_times(tmp_path: Path) -> None:
    file = tmp_path / "apps.yaml"
    file.write_text("apps: [" + "a," * 3_000 + "]\n")
    found = manifest.load([file], DEV).findings
    assert len(found) == 1_001
    assert [finding.message for finding in found if "no more" in finding.message] == [
        "more is wrong in this file: 1,000 findings are told, and no more"
    ]
