"""All campaigns against custody, one after the other, with their counts: `python -m tests.custody`.

model     every interleaving of the protocol as a model, and what breaks without each part of it
attack    the code, stopped at every effect of every step, once and again during the recovery
walking   the code, on random ways of several runs through what the model explores
faults    the code, with a fault at every call to either service
together  the code, as many processes at once, some of them killed or paused
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Final

_MODEL: Final = ("-m", "pytest", "-q", "tests/custody/test_model.py")


def campaigns(vault: str, seed: str, *, brief: bool) -> list[tuple[str, ...]]:
    """The command line of each, after `python`; in brief a sample of each by the seed."""
    against, drawn = ("--vault", vault), ("--seed", seed)
    attack = ("-m", "tests.custody.attack", *against)
    sample = (*drawn, "--stops", "2") if brief else ()
    return [
        _MODEL,
        (*attack, *sample),
        (*attack, *sample, "--without-metadata-cas"),
        (*attack, "--kill", *(("--scenario", "rotate") if brief else ())),
        ("-m", "tests.custody.walking", *against, *drawn, "--ways", "300" if brief else "3000"),
        ("-m", "tests.custody.faults", *drawn, *(("--sample", "5") if brief else ())),
        ("-m", "tests.custody.together", *against, *drawn, *(("--naps", "create", "--crowds", "1") if brief else ())),
    ]


def main() -> int:
    """Run them all, print what each says, and fail where one has."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody", description=main.__doc__)
    parser.add_argument("--vault", choices=("stand-in", "bao", "vault"), default="stand-in")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--brief", action="store_true", help="a sample of each, in minutes")
    given = parser.parse_args()
    ended: list[tuple[int, float, str]] = []
    for arguments in campaigns(given.vault, given.seed, brief=given.brief):
        print(f"\n$ python {' '.join(arguments)}", flush=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, *arguments], check=False).returncode
        ended.append((code, time.monotonic() - began, " ".join(arguments)))
    print()
    for code, seconds, told in ended:
        print(f"{'failed' if code else 'held':8}{seconds:7.0f} s  {told}")
    return int(any(code for code, _, _ in ended))


if __name__ == "__main__":
    sys.exit(main())
