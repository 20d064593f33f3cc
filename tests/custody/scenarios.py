"""What a run is stopped in the middle of: a world, what is asked of it, and how a finished one may look."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from registrar import acts
from registrar import plan as planning
from registrar.model import Application, Credential, Mark, State
from registrar.plan import Plan
from registrar.world import World
from tests.custody.lab import DEAD_RUN, VIEWER, Lab, renamed

Decide = Callable[[World], Plan]

DAY = timedelta(days=1)
OVER = timedelta(seconds=-5)
NAMES = ("viewer",)
OTHER = renamed(VIEWER, "other")
BARE = Application("viewer", "Viewer", VIEWER.redirect_uri)
MOVED = dataclasses.replace(
    VIEWER, owner_email="new@example.org", redirect_uri="https://viewer.example.org/new/callback"
)

BY_HAND = "registered by hand"
SOMEBODYS = "holds data that registrar did not write"
RETIRED = "retired, and still declared"
ARCHIVED = "somebody archived it"
OVERTAKEN = "its facts describe version"  # which landed late over those of a Retire: a person says what is meant
OTHER_SET = "the record belongs to the set others"


@dataclass(frozen=True)
class Asked:
    """What a run is to decide, the same as words of the command, and what a person has registered and can show."""

    decide: Decide = planning.plan
    words: tuple[str, ...] = ("apply",)
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    by_hand: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scenario:
    """`prepare` makes the world and says what is asked; `ends` are reasons for which a finished path may be Blocked."""

    name: str
    prepare: Callable[[Lab], Asked]
    desired: tuple[Application, ...] = (VIEWER,)
    looked_at: tuple[Application, ...] = (VIEWER,)
    ends: tuple[str, ...] = ()


# -- worlds ------------------------------------------------------------------------------------------------------------


def settled(lab: Lab, *applications: Application) -> None:
    report = lab.apply(*(applications or (VIEWER,)), preflight=False)
    assert report.exit_code == 0, report


def rotated(lab: Lab, grace: timedelta = DAY) -> None:
    settled(lab)
    assert lab.carry_out(_rotate(grace), VIEWER, preflight=False).exit_code == 0


def retired(lab: Lab) -> None:
    settled(lab)
    assert lab.carry_out(functools.partial(acts.retire, names=NAMES), VIEWER, preflight=False).exit_code == 0


# -- what is asked -----------------------------------------------------------------------------------------------------


def _rotate(grace: timedelta) -> Decide:
    return functools.partial(acts.rotate, names=NAMES, grace=grace)


def _adopt(client_id: str = "", **options: Any) -> Decide:
    return functools.partial(acts.adopt, name="viewer", client_id=client_id, grace=DAY, **options)


def nothing(_lab: Lab) -> Asked:
    return Asked()


def after_an_empty_fence(lab: Lab) -> Asked:
    lab.half_make()
    lab.apply(preflight=False)
    return Asked()


def behind_the_manifest(lab: Lab) -> Asked:
    settled(lab)
    return Asked()


def behind_during_a_grace(lab: Lab) -> Asked:
    rotated(lab)
    return Asked()


def rotate(lab: Lab) -> Asked:
    settled(lab)
    return Asked(_rotate(DAY), ("rotate", "viewer"))


def rotate_bare(lab: Lab) -> Asked:
    settled(lab, BARE)
    lab.by_hand.update(lab.id_of(lab.record().base.client_id), {"description": "by hand"})
    return Asked(_rotate(DAY), ("rotate", "viewer"))


def rotate_at_once(lab: Lab) -> Asked:
    settled(lab)
    return Asked(_rotate(timedelta(0)), ("rotate", "viewer", "--grace", "0"))


def rotate_again(lab: Lab) -> Asked:
    rotated(lab)
    return Asked(_rotate(DAY), ("rotate", "viewer"))


def rotate_what_was_destroyed(lab: Lab) -> Asked:
    settled(lab)
    lab.version_call("destroy", 1)
    return Asked(_rotate(DAY), ("rotate", "viewer"))


def rotate_what_was_destroyed_in_a_grace(lab: Lab) -> Asked:
    rotated(lab)
    lab.version_call("destroy", 2)
    return Asked(_rotate(DAY), ("rotate", "viewer"))


def back(lab: Lab) -> Asked:
    rotated(lab)
    return Asked(functools.partial(acts.back, names=NAMES, grace=DAY), ("rotate", "viewer", "--back"))


def back_when_it_is_over(lab: Lab) -> Asked:
    rotated(lab, OVER)
    return Asked(functools.partial(acts.back, names=NAMES, grace=DAY), ("rotate", "viewer", "--back"))


def expire(lab: Lab) -> Asked:
    rotated(lab, OVER)
    return Asked()


def retire(lab: Lab) -> Asked:
    settled(lab)
    return Asked(functools.partial(acts.retire, names=NAMES), ("retire", "viewer"))


def retire_during_a_grace(lab: Lab) -> Asked:
    rotated(lab)
    return Asked(functools.partial(acts.retire, names=NAMES), ("retire", "viewer"))


def retire_what_was_deleted_in_a_grace(lab: Lab) -> Asked:
    rotated(lab)
    lab.version_call("delete", 2)
    return Asked(functools.partial(acts.retire, names=NAMES), ("retire", "viewer"))


def retire_over_a_fence(lab: Lab) -> Asked:
    settled(lab)
    lab.version_call("delete", 1)
    lab.half_make()
    lab.apply(preflight=False)
    return Asked(functools.partial(acts.retire, names=NAMES))


def prune(lab: Lab) -> Asked:
    settled(lab, VIEWER, OTHER)
    return Asked(functools.partial(planning.plan, options=planning.Options(prune=True)))


def restore(lab: Lab) -> Asked:
    retired(lab)
    return Asked(functools.partial(acts.restore, names=NAMES), ("restore", "viewer"))


def restore_a_deleted_version(lab: Lab) -> Asked:
    settled(lab)
    lab.version_call("delete", 1)
    return Asked()


def restore_an_archived_one(lab: Lab) -> Asked:
    settled(lab)
    lab.by_hand.archive(lab.id_of(lab.record().base.client_id))
    return Asked(functools.partial(acts.restore, names=NAMES), ("restore", "viewer"))


def anew(lab: Lab) -> Asked:
    retired(lab)
    return Asked(functools.partial(acts.restore, names=NAMES, anew=True), ("restore", "viewer", "--rotate"))


def adopt(lab: Lab) -> Asked:
    held = lab.register(owner_email="old@example.org")
    words = ("adopt", "viewer", "--client-id", held.client_id, "--from", "secret")
    return Asked(_adopt(held.client_id), words, {"viewer": held}, by_hand=frozenset({held.client_id}))


def adopt_what_is_stored(lab: Lab) -> Asked:
    held = lab.register(owner_email="old@example.org")
    lab.write_credential(held)
    words = ("adopt", "viewer", "--client-id", held.client_id)
    return Asked(_adopt(held.client_id), words, by_hand=frozenset({held.client_id}))


def adopt_anew(lab: Lab) -> Asked:
    held = lab.register()
    words = ("adopt", "viewer", "--client-id", held.client_id, "--rotate")
    return Asked(_adopt(held.client_id, anew=True), words, by_hand=frozenset({held.client_id}))


def take_over(lab: Lab) -> Asked:
    settled(lab, dataclasses.replace(VIEWER, owner_email="old@example.org"))
    lab.set_facts(set="others")
    return Asked(_adopt(take_over=True), ("adopt", "viewer", "--take-over"))


# -- what earlier runs have left ---------------------------------------------------------------------------------------


def half_made(lab: Lab) -> Asked:
    lab.half_make()
    return Asked()


def half_made_and_used(lab: Lab) -> Asked:
    lab.sign_in(lab.half_make())
    return Asked()


def half_made_and_archived(lab: Lab) -> Asked:
    lab.by_hand.archive(lab.id_of(lab.half_make().client_id))
    return Asked()


def half_made_and_stored(lab: Lab) -> Asked:
    lab.write_credential(lab.half_make())
    return Asked()


def half_rotated(lab: Lab) -> Asked:
    settled(lab)
    lab.half_make()
    return Asked()


def half_rotated_and_stored(lab: Lab) -> Asked:
    settled(lab)
    lab.write_credential(lab.half_make())
    return Asked()


def half_rotated_twice_and_stored(lab: Lab) -> Asked:
    settled(lab)
    lab.half_make(run="s" * 16)
    lab.write_credential(lab.half_make())
    lab.half_make(run="t" * 16)
    return Asked()


def half_rotated_twice_in_a_grace(lab: Lab) -> Asked:
    rotated(lab)
    lab.half_make()
    lab.half_make(run="s" * 16)
    return Asked()


def half_made_where_retired(lab: Lab) -> Asked:
    retired(lab)
    lab.half_make()
    return Asked()


def half_made_anew_and_stored(lab: Lab) -> Asked:
    retired(lab)
    lab.write_credential(lab.half_make())
    return Asked()


def unfinished(lab: Lab) -> Asked:
    settled(lab)
    mark = Mark(lab.domain(), DEAD_RUN, "viewer")
    lab.by_hand.update(lab.id_of(lab.record().base.client_id), {"description": str(mark)})
    return Asked()


def claimed(lab: Lab) -> Asked:
    rotated(lab)
    lab.vault.again("viewer", lab.record().current)
    return Asked()


def half_gone_back(lab: Lab) -> Asked:
    rotated(lab)
    first = lab.vault.read("viewer", 1)
    assert first
    lab.write_credential(first)
    return Asked()


def fence_left_open(lab: Lab) -> Asked:
    lab.half_make()
    target = lab.target
    whose = {"set": target.set, "name": "Viewer", "nexus": target.nexus_url, "domain": lab.domain()}
    lab.set_facts(state=State.EMPTY, version=1, **whose)
    lab.write({})
    return Asked()


def half_retired(lab: Lab) -> Asked:
    settled(lab)
    lab.vault.again("viewer", 1)
    lab.set_facts(state=State.RETIRED, version=2)
    return Asked()


def half_adopted(lab: Lab) -> Asked:
    held = lab.register()
    target = lab.target
    lab.set_facts(
        state=State.ADOPTING, client_id=held.client_id, set=target.set, nexus=target.nexus_url, domain=lab.domain()
    )
    return Asked(by_hand=frozenset({held.client_id}))


SCENARIOS = (
    Scenario("create", nothing),
    Scenario("create two", nothing, (VIEWER, OTHER), (VIEWER, OTHER)),
    Scenario("create after a fence", after_an_empty_fence),
    Scenario("update", behind_the_manifest, (MOVED,), (MOVED,)),
    Scenario("update during a grace", behind_during_a_grace, (MOVED,), (MOVED,)),
    Scenario("rotate", rotate),
    Scenario("rotate undescribed", rotate_bare, (BARE,), (BARE,)),
    Scenario("rotate undeclared", rotate, ()),
    Scenario("rotate without a grace", rotate_at_once),
    Scenario("rotate within a grace", rotate_again),
    Scenario("rotate what was destroyed", rotate_what_was_destroyed, ends=("its credential was destroyed",)),
    Scenario(
        "rotate what was destroyed in a grace",
        rotate_what_was_destroyed_in_a_grace,
        ends=("its credential was destroyed",),
    ),
    Scenario("back", back),
    Scenario("back when it is over", back_when_it_is_over),
    Scenario("expire", expire),
    Scenario("retire", retire, ends=(RETIRED, OVERTAKEN)),
    Scenario("retire during a grace", retire_during_a_grace, ends=(RETIRED, OVERTAKEN)),
    Scenario("retire what was deleted in a grace", retire_what_was_deleted_in_a_grace, ends=(RETIRED, OVERTAKEN)),
    Scenario("retire over a fence", retire_over_a_fence, ()),
    Scenario("prune", prune, (OTHER,), (VIEWER, OTHER)),
    Scenario("restore", restore, ends=(RETIRED, OVERTAKEN)),
    Scenario("restore a deleted version", restore_a_deleted_version),
    Scenario("restore an archived one", restore_an_archived_one, ends=(ARCHIVED,)),
    Scenario("restore anew", anew, ends=(RETIRED,)),
    Scenario("adopt", adopt, ends=(BY_HAND,)),
    Scenario("adopt what is stored", adopt_what_is_stored, ends=(SOMEBODYS,)),
    Scenario("adopt anew", adopt_anew, ends=(BY_HAND,)),
    Scenario("adopt by taking over", take_over, ends=(OTHER_SET,)),
    Scenario("recover one half made", half_made),
    Scenario("recover one in use", half_made_and_used),
    Scenario("recover one archived", half_made_and_archived),
    Scenario("recover one stored", half_made_and_stored),
    Scenario("recover a rotation", half_rotated),
    Scenario("recover a rotation stored", half_rotated_and_stored),
    Scenario("recover three at a path", half_rotated_twice_and_stored),
    Scenario("recover two within a grace", half_rotated_twice_in_a_grace),
    Scenario("recover at a retired path", half_made_where_retired, ends=(RETIRED,)),
    Scenario("recover anew stored", half_made_anew_and_stored),
    Scenario("recover one unfinished", unfinished),
    Scenario("recover a claim", claimed),
    Scenario("recover a return", half_gone_back),
    Scenario("recover an open fence", fence_left_open),
    Scenario("recover a retirement", half_retired, ends=(RETIRED, OVERTAKEN)),
    Scenario("recover an adoption", half_adopted, ends=(BY_HAND,)),
)
