"""Before the first effect: what there is, and whether anything would stop a run midway.

Must never change anything.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from registrar.errors import Unsuitable, UsageError
from registrar.model import Application, Facts, Record, Target
from registrar.plan import Plan
from registrar.ports import Applications, Records, Services
from registrar.steps import Restore
from registrar.world import World, described

_KEPT_VERSIONS: Final = 5  # each fence or claim uses one; fewer would evict what a rotation may go back to


def observe(
    target: Target, desired: tuple[Application, ...], applications: Applications | None, records: Records
) -> World:
    """What there is: Nexus's list first, then the lock and the records, since a record may name what was just made."""
    registered = applications.all() if applications else None
    lock = records.lock()
    folder = records.all()
    world = World(target, desired, registered, folder.records, lock, folder.nested)
    if applications and not world.explained.keys() <= world.by_client.keys():
        # made between the list and the records, or deleted behind us: only a later list tells
        world = dataclasses.replace(world, registered=applications.all())
    domains = {record.facts.domain for record in folder.records if record.facts} | {lock.domain if lock else ""}
    if len(domains - {""}) > 1:
        told = ", ".join(sorted(domains - {""}))
        message = f"the records below {target.location('')} are of different domains: {told}"
        raise Unsuitable(message, hint="two prefixes were copied into one: give each target a prefix of its own")
    return world


def preflight(todo: Plan, world: World, services: Services) -> None:
    """Raise before the first effect where a service, a permission, a record or a value would stop the run midway."""
    services.applications.check()
    paths = sorted({step.path for step in todo.pending})
    fences = {record.path for record in world.records if record.late_fence}
    brought_back = {step.path for step in todo.pending if isinstance(step, Restore) or step.path in fences}
    services.records.check(paths, sorted(brought_back))
    for path in paths:
        if record := world.by_path.get(path):
            _check_key(record, world.target.location(path))
        if application := world.wanted.get(path):
            unfit = described(Facts(), application, world.target, world.domain).unfit()
            if unfit:
                message = f"{path}: {', '.join(unfit)} cannot be kept in Vault (512 printable bytes at most)"
                raise UsageError(message, hint="registrar validate", application=path)


def _check_key(record: Record, location: str) -> None:
    if 0 < record.max_versions < _KEPT_VERSIONS:
        message = f"{location} keeps {record.max_versions} versions, {_KEPT_VERSIONS} are needed"
        raise Unsuitable(message, hint=f"vault kv metadata put -max-versions=10 {location}", application=record.path)
    if record.delete_after_s:
        message = f"{location} deletes its versions after {record.delete_after_s} s by itself"
        hint = f"vault kv metadata put -delete-version-after=0s {location}"
        raise Unsuitable(message, hint=hint, application=record.path)
