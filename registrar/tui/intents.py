"""What a person asks for: a decision from what there is to a plan, and the command that does the same.

Pure: the decisions are those of `plan` and `acts`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from registrar import acts
from registrar import plan as planning
from registrar.doctor import spelt
from registrar.model import Credential
from registrar.plan import Plan
from registrar.world import World

GRACE = timedelta(hours=24)


@dataclass(frozen=True)
class Intent:
    """One thing to be carried out; `braked` ones are held to the limits of `apply`."""

    title: str
    words: tuple[str, ...]
    decide: Callable[[World], Plan]
    braked: bool = False
    recovers: bool = False
    adopts: str = ""  # the client id whose secret has to be shown
    credentials: Mapping[str, Credential] = field(default_factory=dict)

    def command(self, flags: Sequence[str], manifests: Sequence[str] = ()) -> str:
        """The command line that does the same, with the flags that lead to the same target, and these manifests."""
        return command(self.words, flags, manifests)


def command(words: Sequence[str], flags: Sequence[str], manifests: Sequence[str] = ()) -> str:
    """A command line of these words, as it is typed in a shell."""
    takes_paths = words[:1] in (("apply",), ("recover",))
    told = [word for path in manifests for word in (() if takes_paths else ("--manifests",), (path,))]
    return shlex.join(("registrar", *flags, *words, *(word for part in told for word in part)))


def apply(names: tuple[str, ...] = ()) -> Intent:
    """Plan and apply, of these alone or of everything that is declared."""
    words = ("apply", *(word for name in names for word in ("--only", name)))
    title = f"Apply {_of(names)}" if names else "Apply all manifests"
    return Intent(title, words, lambda world: planning.plan(world, planning.Options(only=names)), braked=True)


def prune() -> Intent:
    """What this set no longer declares is retired."""
    decide = planning.Options(prune=True)
    return Intent("Apply and prune", ("apply", "--prune"), lambda world: planning.plan(world, decide), braked=True)


def recover() -> Intent:
    """Only what interrupted runs left."""
    return Intent("Recover", ("recover",), lambda world: planning.plan(world).recovery(), recovers=True)


def rotate(names: tuple[str, ...], grace: timedelta = GRACE) -> Intent:
    """A new registration beside the old one of each."""
    words = ("rotate", *names, *(() if grace == GRACE else ("--grace", spelt(grace))))
    return Intent(f"Rotate {_of(names)}", words, lambda world: acts.rotate(world, names, grace=grace))


def back(name: str) -> Intent:
    """Return to the credential before, within its grace."""
    return Intent(f"Go back: {name}", ("rotate", name, "--back"), lambda world: acts.back(world, (name,), grace=GRACE))


def retire(names: tuple[str, ...]) -> Intent:
    """Withdrawn in Vault, archived in Nexus."""
    return Intent(f"Retire {_of(names)}", ("retire", *names), lambda world: acts.retire(world, names))


def restore(names: tuple[str, ...], *, anew: bool = False) -> Intent:
    """Brought back, or registered anew at the same path."""
    words = ("restore", *names, *(("--rotate",) if anew else ()))
    return Intent(f"Restore {_of(names)}", words, lambda world: acts.restore(world, names, anew=anew))


def adopt(name: str, client_id: str, credential: Credential | None) -> Intent:
    """An application registered by hand, with its secret; without one it is replaced by a new registration."""
    words = ("adopt", name, "--client-id", client_id, *(() if credential else ("--rotate",)))
    shown = {name: credential} if credential else {}

    def decide(world: World) -> Plan:
        return acts.adopt(world, name, client_id=client_id, anew=credential is None, grace=GRACE)

    return Intent(f"Adopt {name}", words, decide, adopts=client_id, credentials=shown)


def take_over(name: str) -> Intent:
    """An application of another set is ours from now on."""
    words = ("adopt", name, "--take-over")
    return Intent(f"Take over {name}", words, lambda world: acts.adopt(world, name, take_over=True, grace=GRACE))


def _of(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} applications"
