"""The outside view of a run: what holds at any moment, what a finished world looks like, what is somebody else's."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from registrar import plan as planning
from registrar.model import Application, Kind, Mark, State
from registrar.secret import Secret
from registrar.steps import Blocked, Keep
from registrar.vault import Vault
from registrar.world import formers
from tests.custody.lab import Lab
from tests.custody.scenarios import Scenario

THEIRS: Final = ("foreign", "theirs")


class Damage(enum.StrEnum):
    """What can be wrong in the end, or at any moment."""

    LOST = "lost"
    DOUBLED = "doubled"
    TOUCHED = "touched"
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Fault:
    damage: Damage
    told: str


@dataclass(frozen=True)
class Seen:
    """What is wrong at one moment: paths whose newest credential is dead, living applications that nothing explains."""

    broken: frozenset[str] = frozenset()
    unexplained: frozenset[str] = frozenset()


class Watch:
    """The outside view: what holds at any moment, what a finished world looks like, and what is somebody else's."""

    def __init__(self, lab: Lab, scenario: Scenario) -> None:
        self._lab = lab
        self._scenario = scenario
        token = Secret(lab._http.headers["X-Vault-Token"])
        self._vault = Vault(lab.target.vault_addr, token=token, prefix=lab.target.vault_prefix)
        self.faults: list[Fault] = []
        self._theirs = self._strangers()
        self._before = self._belongings()
        self._seen = Seen()
        self._domain = ""

    def close(self) -> None:
        self._vault.close()

    def begin(self, by_hand: frozenset[str]) -> None:
        """The world is made: what is not as it should be now, or was registered by hand, is no fault of the run."""
        self._domain = self._lab.domain()
        seen = self._see()
        self._seen = Seen(seen.broken, seen.unexplained | by_hand)

    def look(self, moment: str) -> None:
        """After an effect: the newest credential is a living application's, and what lives is explained or marked."""
        seen = self._see()
        for path in sorted(seen.broken - self._seen.broken):
            self._note(Damage.LOST, f"{path}: the newest stored credential is of no living application, {moment}")
        for client_id in sorted(seen.unexplained - self._seen.unexplained):
            self._note(Damage.DOUBLED, f"{client_id} is neither marked nor explained, {moment}")

    def end(self) -> None:
        """After the last apply: everything is as it should be."""
        self.look("in the end")
        todo = planning.plan(self._lab.observe(*self._scenario.desired))
        for application in self._scenario.looked_at:
            self._finished(application, todo)
        if self._belongings() != self._before:
            self._note(Damage.TOUCHED, "what belongs to somebody else has changed")

    def wait(self) -> None:
        """Until what is due within two seconds is due: nobody takes a lock over as soon as a harness does."""
        for record in self._vault.all().records:
            for former in formers(record.base):
                if timedelta(0) < former.until - record.seen_at < timedelta(seconds=2):
                    time.sleep(2)

    def _note(self, damage: Damage, told: str) -> None:
        if Fault(damage, told) not in self.faults:
            self.faults.append(Fault(damage, told))

    def _see(self) -> Seen:
        registered = {one.client_id: one for one in self._lab.by_hand.all() if not one.archived}
        known, broken = set(self._theirs), set()
        for record in self._vault.all().records:
            if record.path in THEIRS:
                continue
            known |= {record.base.client_id, *(former.client_id for former in formers(record.base))}
            if record.living and (stored := self._vault.read(record.path, record.current)):
                known.add(stored.client_id)
                if record.facts and stored.client_id not in registered:
                    broken.add(record.path)
        marked = {one.client_id for one in registered.values() if one.mark and one.mark.domain == self._domain}
        return Seen(frozenset(broken), frozenset(registered.keys() - known - marked))

    def _finished(self, application: Application, todo: planning.Plan) -> None:
        path, name = application.path, application.name
        for step in todo.steps:
            legitimate = isinstance(step, Keep) or (
                isinstance(step, Blocked) and any(end in step.reason for end in self._scenario.ends)
            )
            if step.path == path and not legitimate:
                self._note(Damage.UNFINISHED, f"{path}: the plan is {step.operation}: {step.reason}")
        registered = [one for one in self._lab.by_hand.all() if one.client_id not in self._theirs]
        for one in registered:
            if one.mark and not (one.mark.abandoned and one.archived):
                self._note(Damage.UNFINISHED, f"{path}: {one.client_id} is still marked")
        living = {one.client_id for one in registered if one.name == name and not one.archived}
        record = self._vault.one(path)
        facts = record.base
        explained = {former.client_id for former in formers(facts)} | self._seen.unexplained
        if record.kind is Kind.SETTLED:
            archived = any(one.client_id == facts.client_id and one.archived for one in registered)
            if not archived:
                explained.add(facts.client_id)
                if facts.client_id not in living or not self._lab.proves(application):
                    self._note(Damage.LOST, f"{path}: its stored credential does not work")
            retiring = facts.retiring
            way_back = record.version(retiring.version) if retiring else None
            if retiring and way_back and not way_back.destroyed:
                held = self._vault.read(path, retiring.version)
                if held is None or held.client_id != retiring.client_id:
                    self._note(Damage.LOST, f"{path}: the credential that retires cannot be returned to")
        elif record.kind is Kind.UNSETTLED:
            self._note(Damage.UNFINISHED, f"{path}: its record is unsettled")
        elif record.kind is Kind.WITHDRAWN:
            if facts.state is State.REGISTERED:
                explained.add(facts.client_id)
            version = record.version(facts.version)
            self._lab.version_call("undelete", facts.version, path=path)  # the world ends here
            held = self._vault.read(path, facts.version)
            if not (version and version.destroyed) and (held is None or held.client_id != facts.client_id):
                self._note(Damage.LOST, f"{path}: what is withdrawn cannot be restored")
        if extra := living - explained:
            self._note(Damage.DOUBLED, f"{path}: {', '.join(sorted(extra))} lives besides, and the record is not its")

    # -- somebody else's -----------------------------------------------------------------------------------------------

    def _strangers(self) -> frozenset[str]:
        """Put into the world what no run may touch: four applications, a record of no set and one of another."""
        lab = self._lab
        if not lab.strangers:
            names = ("Somebody's", "Viewer", "Of another domain", "Of another set")
            lab.strangers = {name: lab.register(name=name) for name in names}
            mark = str(Mark("z" * 16, "y" * 16, "viewer"))
            marked = lab.id_of(lab.strangers["Of another domain"].client_id)
            lab.by_hand.update(marked, {"description": mark})
            lab.by_hand.archive(lab.id_of(lab.strangers["Viewer"].client_id))
        theirs = lab.strangers["Of another set"]
        lab.write({"password": "of somebody"}, path="foreign")
        lab.write_credential(theirs, path="theirs")
        lab.set_facts("theirs", set="others", client_id=theirs.client_id, version=1, nexus=lab.target.nexus_url)
        return frozenset(stranger.client_id for stranger in lab.strangers.values())

    def _belongings(self) -> object:
        lab = self._lab
        records = [lab._http.get(f"/metadata/{lab.target.vault_prefix}/{path}").json() for path in THEIRS]
        return (
            [one for one in lab.registered() if one.client_id in self._theirs],
            [record["data"] for record in records],
            [lab.read_version(1, path) for path in THEIRS],
        )
