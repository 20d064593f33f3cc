"""A merge request that attacks the pipeline which plans it: where it sends what, what it reads, and for how long."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest

from registrar import manifest
from registrar.errors import ManifestsInvalid
from registrar.limits import Limits
from registrar.model import Target
from tests.cli.manifests import TWO
from tests.cli.program import Program, Result
from tests.cli.services import LOCK, Services
from tests.custody.proxy import Proxy

OURS = (
    "set: twin\nmanifests: declared\ntargets:\n  dev: {nexus_url: NEXUS, vault_addr: VAULT, vault_prefix: nexus/dev}\n"
)
KEYS = ("NEXUS_API_KEY", "NEXUS_API_SECRET", "VAULT_TOKEN")


@pytest.fixture
def pipeline(tmp_path: Path, services: Services) -> Program:
    """A checkout with a .git, and beside it what the protected branch says; addresses come from there alone."""
    program = Program(tmp_path, {key: services.environ[key] for key in KEYS})
    ours = OURS.replace("NEXUS", services.environ["NEXUS_URL"]).replace("VAULT", services.environ["VAULT_ADDR"])
    (tmp_path / "registrar.yaml").write_text(ours)
    program.write(".git/config", "[core]\n")
    program.write("registrar.yaml", ours)
    program.write("declared/apps.yaml", TWO)
    return program


UNTRUSTED = ("--untrusted", "--config", "../registrar.yaml")


def refused(result: Result, *words: str, code: int = 64) -> None:
    assert result.code == code, result
    assert result.out == ""
    (first,) = [line for line in result.err.splitlines() if line.startswith("registrar: ")]
    for word in words:
        assert word in first
    assert result.err.splitlines()[-1].startswith("  → ")


# ── where it is sent ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_that_changed_nothing_is_planned_as_ever(pipeline: Program) -> None:
    for command in ("plan", "validate"):
        plain, careful = pipeline.call(command), pipeline.call(command, *UNTRUSTED)
        assert (plain.code, plain.err) == (0, "")
        assert careful == plain


def test_a_changed_registrar_yaml_is_reported_and_not_used(pipeline: Program, services: Services) -> None:
    with Proxy(services.running.nexus_url) as theirs:
        evil = f"set: evil\nmanifests: other\ntargets:\n  dev: {{nexus_url: {theirs.url}, vault_addr: {theirs.url}}}\n"
        pipeline.write("registrar.yaml", evil + "  more: {vault_prefix: more}\n")
        for command in (("plan",), ("plan", "--without-nexus"), ("validate",)):
            told = pipeline.call(*command, *UNTRUSTED)
            assert told.code == 0, told.err
            assert told.err == (
                "The registrar.yaml of this checkout is not used; it differs from what is, in set, "
                "manifests, dev.nexus_url, dev.vault_addr, dev.vault_prefix, the target more.\n"
            )
        comment = pipeline.call("plan", *UNTRUSTED, "-o", "markdown").out
        assert comment.splitlines()[2].startswith("> ⚠️ The registrar.yaml of this checkout is not used; it differs")
        assert "Digital Twin Viewer" in comment
        assert theirs.seen == [], "nothing was sent there"
        assert pipeline.call("plan", "declared", "--target", "dev").code != 0
        assert theirs.seen, "without --untrusted it would have been"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("set: twin\nset: twin\n", "is not used, and it is not valid"),
        ("set: twin\n", "it differs from what is, in manifests, the target dev"),
    ],
)
def test_whatever_it_holds_is_only_reported(pipeline: Program, content: str, told: str) -> None:
    pipeline.write("registrar.yaml", content)
    planned = pipeline.call("plan", *UNTRUSTED)
    assert planned.code == 0
    assert told in planned.err


def test_its_login_and_hosts_count_as_differences(pipeline: Program, tmp_path: Path) -> None:
    ours = (tmp_path / "registrar.yaml").read_text()
    more = "vault_auth: {method: token}, allowed_hosts: [a.example.org], production: true, vault_prefix"
    pipeline.write("registrar.yaml", ours.replace("vault_prefix", more))
    assert "in dev.vault_auth, dev.allowed_hosts, dev.production.\n" in pipeline.call("validate", *UNTRUSTED).err
    names = "".join(f"  t{n}: {{vault_prefix: t{n}}}\n" for n in range(15))
    pipeline.write("registrar.yaml", ours + names)
    assert "the target t6 and 3 more." in pipeline.call("validate", *UNTRUSTED).err


def test_a_link_is_not_read_to_be_reported(pipeline: Program, tmp_path: Path) -> None:
    (tmp_path / "private.yaml").write_text("set: private\n")
    for where in ("../private.yaml", ".git/config"):
        link = pipeline.folder / "registrar.yaml"
        link.unlink()
        link.symlink_to(where)
        planned = pipeline.call("plan", *UNTRUSTED)
        assert planned.code == 0
        assert planned.err.endswith("is not used, nor read: it is a link that leads out.\n")


def test_the_configuration_has_to_be_outside(pipeline: Program, tmp_path: Path) -> None:
    words = ("is in the checkout, so with --untrusted it says nothing",)
    for command in ("plan", "validate"):
        refused(pipeline.call(command, "--untrusted", "--config", "registrar.yaml"), *words)
    pipeline.environ["REGISTRAR_CONFIG"] = str(pipeline.folder / "registrar.yaml")
    refused(pipeline.call("plan", "--untrusted"), *words)
    (pipeline.folder / "link").symlink_to(tmp_path)
    refused(pipeline.call("plan", "--untrusted", "--config", "link/registrar.yaml"), *words)
    (tmp_path / "link.yaml").symlink_to(pipeline.folder / "registrar.yaml")
    refused(pipeline.call("plan", "--untrusted", "--config", "../link.yaml"), *words)
    pipeline.environ["REGISTRAR_CONFIG"] = str(tmp_path / "registrar.yaml")
    assert pipeline.call("plan", "--untrusted").code == 0


def test_in_a_folder_of_the_checkout_all_of_it_counts(pipeline: Program, tmp_path: Path) -> None:
    """Also where that folder is a repository inside the repository."""
    deep = Program(tmp_path, pipeline.environ)
    deep.folder = pipeline.folder / "deep"
    deep.write("declared/apps.yaml", TWO)
    deep.write(".git", "gitdir: ../.git/modules/deep\n")
    refused(deep.call("plan", "--untrusted", "--config", "../registrar.yaml"), "is in the checkout")
    assert deep.call("plan", "--untrusted", "--config", "../../registrar.yaml").code == 0
    assert deep.call("plan", "../declared", "--untrusted", "--config", "../../registrar.yaml").code == 0


def test_without_a_configuration_the_environment_says_all(pipeline: Program, services: Services) -> None:
    pipeline.environ |= services.environ
    planned = pipeline.call("plan", "declared", "--untrusted")
    assert planned.code == 0, planned.err
    assert "in set, manifests, the target dev" in planned.err
    assert "Vault " + services.environ["VAULT_ADDR"] + " secret/nexus/" in planned.out
    del pipeline.environ["VAULT_ADDR"]
    refused(pipeline.call("plan", "declared", "--untrusted"), "no Vault")
    refused(pipeline.call("plan", "--untrusted", "--vault-addr", "http://127.0.0.1:1"), "no manifests were named")


def test_a_checkout_without_git_is_the_folder(pipeline: Program, tmp_path: Path) -> None:
    (pipeline.folder / ".git" / "config").unlink()
    (pipeline.folder / ".git").rmdir()
    assert pipeline.call("plan", *UNTRUSTED).code == 0
    refused(pipeline.call("plan", "--untrusted", "--config", "registrar.yaml"), "is in the checkout")
    (tmp_path / "outside.yaml").write_text(TWO)
    refused(pipeline.call("plan", *UNTRUSTED, "../outside.yaml"), "leads out of the checkout")


# ── what is read ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_path_leads_out(pipeline: Program, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "apps.yaml").write_text(TWO)
    for name, where in (("folder", "../outside"), ("file.yaml", "../outside/apps.yaml"), ("git.yaml", ".git/config")):
        (pipeline.folder / name).symlink_to(where)
        for command in ("validate", "plan"):
            refused(pipeline.call(command, name, *UNTRUSTED), f"{name} leads out of the checkout")
    (pipeline.folder / "declared").rename(pipeline.folder / "moved")
    (pipeline.folder / "declared").symlink_to("../outside")
    refused(pipeline.call("plan", *UNTRUSTED), "declared leads out of the checkout")
    assert pipeline.call("validate", "-", *UNTRUSTED, stdin=TWO.encode()).code == 0


def test_a_link_into_git_is_never_followed(pipeline: Program) -> None:
    """A pipeline's checkout may keep its token there."""
    pipeline.write(".git/config", "[http]\n\textraheader = AUTHORIZATION: basic canary\n")
    (pipeline.folder / "declared" / "more.yaml").symlink_to("../.git/config")
    (pipeline.folder / "declared" / "deep").symlink_to("../.git")
    checked = pipeline.call("validate", ".", *UNTRUSTED)
    assert checked.code == 4
    assert checked.out.count("the link leads into .git") == 2
    assert "canary" not in checked.out + checked.err


def test_nothing_in_a_manifest_is_expanded(pipeline: Program) -> None:
    hostile = TWO.replace("3-D viewer of plant models", "$VAULT_TOKEN ${VAULT_TOKEN} $(id) `id` {{ env }} !include x ~")
    pipeline.write("declared/apps.yaml", hostile)
    planned = pipeline.call("plan", *UNTRUSTED)
    assert planned.code == 0
    assert "$VAULT_TOKEN ${VAULT_TOKEN} $(id) `id` {{ env }} !include x ~" in planned.out
    for tag in ("!include /etc/passwd", "!!python/object/apply:os.system [id]", "!env VAULT_TOKEN"):
        pipeline.write("declared/apps.yaml", TWO.replace("3-D viewer of plant models", tag))
        assert pipeline.call("plan", *UNTRUSTED).code == 4


def test_only_metadata_and_the_list_are_asked_for(pipeline: Program) -> None:
    pipeline.write("declared/apps.yaml", TWO.replace("path: viewer", "path: deep/viewer"))
    asked = pipeline.call("plan", *UNTRUSTED, "-v").err.splitlines()
    assert asked
    known = rf"/metadata/|/detailed-metadata/|{LOCK}|oauth/applications|/users/|/lookup|/ui/mounts/"
    for line in asked:
        assert re.search(rf"^(GET|LIST) \S*({known})|^POST /api/v[12]/oauth/tokens ", line)


# ── how much of it ────────────────────────────────────────────────────────────────────────────────────────────────────

TARGET = Target("dev", "https://nexus.example.org", "https://nexus.example.org", "https://vault.example.org")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of 7 bytes, one of them two folders down."""
    made = tmp_path / "manifests"
    (made / "one" / "two").mkdir(parents=True)
    for name in ("a.yaml", "b.yaml", "one/two/c.yaml"):
        (made / name).write_text("apps: []"[:8])
    return made


@pytest.mark.parametrize(
    ("few", "enough", "told"),
    [
        (Limits(files=2), Limits(files=3), "more than 2 files"),
        (Limits(size_bytes=23), Limits(size_bytes=24), "more than 23 bytes"),
        (Limits(depth=1), Limits(depth=2), "folders in folders, more than 1 deep"),
        (Limits(time_s=-1), Limits(), "more than can be read in -1 seconds"),
    ],
)
def test_reading_ends(folder: Path, few: Limits, enough: Limits, told: str) -> None:
    assert len(manifest.load([folder], TARGET, limits=enough).files) == 3
    with pytest.raises(ManifestsInvalid, match=re.escape(told)) as stopped:
        manifest.load([folder], TARGET, limits=few)
    assert stopped.value.hint


def test_one_slow_file_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is looked at between applications: here it goes on by a second at each look."""
    now = itertools.count(time.monotonic())
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    data = ("apps:\n" + "  - {}\n" * 100).encode()
    with pytest.raises(ManifestsInvalid, match="in 50 seconds"):
        manifest.load([manifest.STDIN], TARGET, stdin=data, limits=Limits(time_s=50))


def test_stdin_counts() -> None:
    with pytest.raises(ManifestsInvalid, match="more than 7 bytes"):
        manifest.load([manifest.STDIN], TARGET, stdin=b"apps: []", limits=Limits(size_bytes=7))


def test_a_bottomless_folder_is_one_clear_error(pipeline: Program) -> None:
    """Git keeps one as deep as anybody likes."""
    deep = pipeline.folder / "declared" / Path(*["d"] * 900)
    deep.mkdir(parents=True)
    refused(pipeline.call("plan", *UNTRUSTED), "folders in folders, more than 16 deep", code=4)
    result = pipeline.call("validate", *UNTRUSTED)
    assert (result.code, result.out) == (4, "")
