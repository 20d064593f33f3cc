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


def campaigns(vault: str, seed: str) -> list[tuple[str, ...]]:
    """The command line of each, after `python`."""
    against = ("--vault", vault)
    return [
        _MODEL,
        ("-m", "tests.custody.attack", *against),
        ("-m", "tests.custody.attack", *against, "--without-metadata-cas"),
        ("-m", "tests.custody.attack", *against, "--kill"),
        ("-m", "tests.custody.walking", *against, "--seed", seed, "--ways", "3000"),
        ("-m", "tests.custody.faults", "--seed", seed),
        ("-m", "tests.custody.together", "--seed", seed),
    ]


def main() -> int:
    """Run them all, print what each says, and fail where one has."""
    parser = argparse.ArgumentParser(prog="python -m tests.custody", description=main.__doc__)
    parser.add_argument("--vault", choices=("stand-in", "bao", "vault"), default="stand-in")
    parser.add_argument("--seed", default="0")
    given = parser.parse_args()
    ended: list[tuple[int, float, str]] = []
    for arguments in campaigns(given.vault, given.seed):
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
