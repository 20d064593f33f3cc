"""Each work beside what people would use instead, as a row of the table."""

from __future__ import annotations

import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks import ansible, bare, servers
from tests.benchmarks.contest import Cost, Row, contest, cost, exponent

_PYTHON = sys.executable
_LATENCY_MS = 50


@dataclass(frozen=True)
class Setting:
    """How much and how often, and a folder to do it in."""

    home: Path
    repeats: int
    scale: int = 1
    """The sizes are divided by this: a smoke run proves that everything runs, and nothing about its speed."""

    def size(self, usual: int) -> int:
        return max(usual // self.scale, 2)


Work = Callable[[Setting], Iterator[Row]]


def ours(*words: str) -> list[str]:
    return [_PYTHON, "-m", "registrar", *words]


def theirs(*words: str) -> list[str]:
    return [_PYTHON, "-m", "tests.benchmarks.bare", *words]


def manifest(setting: Setting, count: int) -> Path:
    """One file with so many applications."""
    file = setting.home / f"{count}.yaml"
    if not file.exists():
        file.write_text("apps:\n" + "".join(_entry(bare.application(number)) for number in range(count)))
    return file


def files(setting: Setting, count: int) -> Path:
    """A folder with as many files, in folders of a hundred."""
    top = setting.home / f"files-{count}"
    for number in range(count):
        file = top / f"team-{number // 100:03d}" / f"app-{number:05d}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("apps:\n" + _entry(bare.application(number)))
    return top


def _entry(application: Mapping[str, str]) -> str:
    name, *others = (f"{key}: {value}\n" for key, value in sorted(application.items()))
    return f"  - {name}" + "".join(f"    {other}" for other in others)


def applying(setting: Setting) -> Iterator[Row]:
    """New applications, against the loop that sends the same requests and nothing else."""
    for usual in (100, 1_000):
        count = setting.size(usual)
        yield contest(
            f"apply {count:,} new",
            "a pool of threads with httpx and hvac",
            1.2,
            partial(_applied, setting, count),
            partial(_fresh, setting, theirs("apply", str(count), "8")),
            setting.repeats,
        )


def latency(setting: Setting) -> Iterator[Row]:
    """The same with every answer late, against Little's law."""
    count, parallelism = setting.size(1_000), 32
    requests, of_lock = _requests(setting, count)
    waves = math.ceil(count / parallelism) * 4  # one POST, two writes, one PUT, each by so many at once
    least_s = (waves + requests - 4 * count) * _LATENCY_MS / 1000
    costs = [_applied(setting, count, parallelism, _LATENCY_MS) for _ in range(setting.repeats)]
    yield Row(
        f"apply {count:,} new, {_LATENCY_MS} ms a request, {parallelism} at once",
        "Little's law",
        1.25,
        [one.wall_s / least_s for one in costs],
        seconds={"ours": [one.wall_s for one in costs], "theirs": [least_s]},
        notes=f"{requests:,} requests, {requests - 4 * count} of them one after the other; {of_lock} write the lock",
    )


def beside_ansible(setting: Setting) -> Iterator[Row]:
    """The same, against a playbook of the modules that people use for it."""
    count, sample = setting.size(1_000), max(setting.size(20), 4)
    program = ansible.installed(setting.home)
    with servers.standing_in(setting.home) as environ:
        few, many = (ansible.played(program, setting.home, environ, number) for number in (sample // 2, sample))
    each_s = (many.wall_s - few.wall_s) / (sample - sample // 2)
    whole_s = few.wall_s + each_s * (count - sample // 2)
    costs = [_applied(setting, count) for _ in range(setting.repeats)]
    yield Row(
        f"apply {count:,} new",
        "Ansible: uri, vault_kv2_write",
        60,
        [whole_s / one.wall_s for one in costs],
        more_is_better=True,
        notes=f"Ansible was given {sample} and takes {each_s:.2f} s for each, so {whole_s:,.0f} s for all",
        seconds={"ours": [one.wall_s for one in costs], "theirs": [whole_s]},
    )


def planning(setting: Setting) -> Iterator[Row]:
    """A plan of what is in sync, against the bare reads of the same things with the same libraries."""
    count = setting.size(10_000)
    file, few = str(manifest(setting, count)), str(manifest(setting, max(count // 10, 1)))
    with servers.standing_in(setting.home) as environ, servers.standing_in(setting.home) as smaller:
        cost(ours("apply", few, "--yes"), smaller)
        cost(ours("apply", file, "--yes"), environ)
        for how, name in (("folder", "by folder"), ("keys", "key by key")):
            restricted = {"VAULT_TOKEN": _planner(environ)} if how == "keys" else {}
            yield contest(
                f"plan {count:,} in sync, {name}",
                "the bare reads, with urllib3",
                1.5,
                partial(cost, ours("plan", file), environ | restricted),
                partial(cost, theirs("plan", file, how, "8"), environ | restricted),
                setting.repeats,
            )
        pairs = [(cost(ours("plan", few), smaller), cost(ours("plan", file), environ)) for _ in range(setting.repeats)]
        yield _growth("plan", [one for one, _ in pairs], [other for _, other in pairs])
        yield _memory(setting, [other for _, other in pairs], count)
        if servers.openbao():
            with servers.on_raft(setting.home / "raft") as (addr, token):
                servers.copied(environ, addr, token)
                real = environ | {"VAULT_ADDR": addr, "VAULT_TOKEN": token}
                yield contest(
                    f"plan {count:,} in sync, OpenBao on raft",
                    "reading the keys one by one with hvac",
                    8,
                    partial(cost, ours("plan", file), real),
                    partial(cost, theirs("hvac"), real),
                    setting.repeats,
                    faster=True,
                )


def _memory(setting: Setting, large: Sequence[Cost], count: int) -> Row:
    """How much more a process with so many takes than one with none."""
    nothing = setting.home / "nothing.yaml"
    nothing.write_text("apps: []\n")
    with servers.standing_in(setting.home) as environ:
        empty = [cost(ours("plan", str(nothing)), environ).peak_kib for _ in range(setting.repeats)]
    each = [(one.peak_kib - statistics.median(empty)) / count for one in large]
    return Row(f"memory of plan, {count:,} in sync", "a plan of none", 6, each, unit=" KiB each")


def _growth(work: str, small: Sequence[Cost], large: Sequence[Cost]) -> Row:
    power = exponent([one.wall_s for one in small], [one.wall_s for one in large], 10)
    seconds = {"small": [one.wall_s for one in small], "large": [one.wall_s for one in large]}
    return Row(f"{work}: growth to ten times as many", "linear", 1.1, [power], unit="", seconds=seconds)


def validating(setting: Setting) -> Iterator[Row]:
    """Manifests, against PyYAML's C loader."""
    environ = servers.surroundings(setting.home)
    count = setting.size(10_000)
    for what, place in (("1 file", manifest(setting, count)), (f"{count:,} files", files(setting, count))):
        yield contest(
            f"validate {count:,} in {what}",
            "PyYAML's C loader",
            1.5,
            partial(cost, ours("validate", str(place)), environ),
            partial(cost, theirs("load", str(place)), environ),
            setting.repeats,
        )
    few = manifest(setting, max(count // 10, 1))
    pairs = [
        (cost(ours("validate", str(few)), environ), cost(ours("validate", str(manifest(setting, count))), environ))
        for _ in range(setting.repeats)
    ]
    yield _growth("validate", [one for one, _ in pairs], [other for _, other in pairs])


def starting(setting: Setting) -> Iterator[Row]:
    """Commands that do next to nothing, so that a start is all there is."""
    environ = servers.surroundings(setting.home)
    program = setting.home / "bare_click.py"
    program.write_text(_BARE_CLICK)
    script = str(Path(_PYTHON).with_name("registrar"))
    for flag, goal in (("--version", 1.15), ("--help", 1.3)):
        yield contest(
            flag,
            "a bare click program",
            goal,
            partial(cost, [script, flag], environ),
            partial(cost, [_PYTHON, str(program), flag], environ),
            setting.repeats * 5,
        )


def fetching(setting: Setting) -> Iterator[Row]:
    """One credential, as an application's start fetches it."""
    with servers.standing_in(setting.home) as environ:
        cost(ours("apply", str(manifest(setting, 2)), "--yes"), environ)
        get = ours("creds", "get", "app-00001", "--format", "json")
        yield contest(
            "creds get",
            "a script with hvac",
            1.1,
            partial(cost, get, environ),
            partial(cost, theirs("get", "app-00001"), environ),
            setting.repeats * 3,
        )
        if program := servers.openbao():
            bao = [program, "kv", "get", "-format=json", "secret/nexus/app-00001"]
            yield contest(
                "creds get",
                "bao kv get",
                None,
                partial(cost, get, environ),
                partial(cost, bao, environ),
                setting.repeats * 3,
            )


def verifying(setting: Setting) -> Iterator[Row]:
    """Proofs of stored credentials, against the same requests in a bare loop."""
    count = setting.size(1_000)
    with servers.standing_in(setting.home) as environ:
        cost(ours("apply", str(manifest(setting, count)), "--yes"), environ)
        yield contest(
            f"verify {count:,}",
            "a pool of threads with urllib3",
            1.25,
            partial(cost, ours("verify"), environ),
            partial(cost, theirs("verify", "8"), environ),
            setting.repeats,
        )


WORKS: Mapping[str, Work] = {
    "start": starting,
    "creds": fetching,
    "validate": validating,
    "apply": applying,
    "latency": latency,
    "verify": verifying,
    "plan": planning,
    "ansible": beside_ansible,
}


def _fresh(setting: Setting, command: Sequence[str], latency_ms: float = 0) -> Cost:
    """A command against stand-ins that hold nothing yet; late ones are apart, or they would wait for one another."""
    with servers.standing_in(setting.home, latency_ms=latency_ms, apart=latency_ms > 0) as environ:
        return cost(command, environ)


def _applied(setting: Setting, count: int, parallelism: int = 8, latency_ms: float = 0) -> Cost:
    command = ours("apply", str(manifest(setting, count)), "--yes", "--parallelism", str(parallelism))
    return _fresh(setting, command, latency_ms)


def _requests(setting: Setting, count: int) -> tuple[int, int]:
    """How many requests an apply of so many sends, and how many of them write the lock."""
    with servers.standing_in(setting.home) as environ:
        command = ours("apply", str(manifest(setting, count)), "--yes", "--verbose")
        told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stderr
    requests = re.findall(r"^(?:GET|POST|PUT|PATCH|DELETE) /\S*", told, re.MULTILINE)
    return len(requests), sum(one.startswith("POST") and one.endswith(".registrar/lock") for one in requests)


def _planner(environ: Mapping[str, str]) -> str:
    """A token that may read the metadata of each key and has no `detailed-metadata`, as HashiCorp Vault has none."""
    addr, root = environ["VAULT_ADDR"], environ["VAULT_TOKEN"]
    policy = 'path "secret/metadata/*" { capabilities = ["read", "list"] }\n'
    policy += 'path "secret/metadata" { capabilities = ["list"] }\n'
    policy += 'path "secret/data/nexus/.registrar/lock" { capabilities = ["read"] }\n'
    servers.call(addr, root, "POST", "sys/policies/acl/planner", {"policy": policy})
    _, made = servers.call(addr, root, "POST", "auth/token/create", {"policies": ["planner"], "ttl": "1h"})
    return str(made["auth"]["client_token"])


_BARE_CLICK = """
import click

@click.group()
@click.version_option("1.0")
@click.option("--target", "-t", metavar="NAME", help="Where to.")
def program(target: str) -> None:
    "A program with as many commands."

for number in range(25):
    program.command(f"command-{number}", help=f"Do what number {number} does.")(lambda: None)

if __name__ == "__main__":
    program()
"""
