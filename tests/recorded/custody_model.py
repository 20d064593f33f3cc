#!/usr/bin/env python3
"""Explores every interleaving of the custody protocol for one application.

Runners of these kinds, each of which may stop at any point and leave a request in flight that lands late or never:
apply; rotate (expires what an earlier rotation left, then registers anew); due (expire the old one of a rotation);
back (return to it); retire; restore; adopt (a hand-made application). A person who may register the same name by hand,
and rename that later; a person who stores, deletes or destroys versions in Vault by hand. Then one undisturbed apply.
Prints a shortest trace that breaks an invariant.

The lock is taken as read: one run at a time, and a run that stopped or lost its lease sends nothing more. A request
sent after a pause between check and effect is the same as one that lands late, so a run sends as soon as it can; what
it reads is a step of its own.

Invariants: nobody else's application is touched, and what a person wrote is not overwritten; the newest stored
credential belongs to a living application that is not archived, and none whose credential was stored is deleted,
unless a person wrote there; what a run reported in use stays fetchable, and is retired only where somebody asks for
it; what was reported retired stays withdrawn. After the undisturbed apply it is in use (the newest credential
described, its application living and finished) or retired, or blocked: where a person wrote, or where late facts hide
a Retire or Restore that stopped; and no living application of ours is unexplained.

Excused, since Nexus has no compare-and-set: the archive of a Retire that died lands after a Restore began; the archive
or delete of a run that died lands after a person put that credential back, or took it away before it was described.

    custody_model.py [--runners apply,rotate,due,back,retire,restore,adopt] [--timeouts N] [--human] [--hands N]
                     [--start empty|settled|rotated|unfinished|retired]
    and, to see what each part is for, one of the flags of PARTS
"""

import argparse
import sys
from collections import namedtuple

PARTS = {
    "no-fence": "Recover, and a store of unknown outcome, delete without raising the record's version first",
    "no-mark": "the name alone tells what is half-made",
    "no-version": "facts do not name the version they describe",
    "no-claim": "Expire archives without storing the current credential again",
    "forget-claim": "stale facts that are settled keep the old one as retiring, so that one can go back to it",
    "finish-first": "the mark is cleared before the facts are written",
    "keep-oldest": "a second rotation within the grace does not expire the oldest first",
    "count-named": "a left-over mark counts as half-made though the record names the registration",
    "work-marked": "a step begins though a registration that the record names still wears its mark",
    "no-look-again": "Recover goes by the plan: a settled record is another client's, and half-made what was so then",
    "no-retire-claim": "Retire does not store the credential again before it is withdrawn",
    "resume-bare": "a Retire that goes on with a withdrawn record archives at once, without an empty fence",
    "settle-as-is": "Recover settles what was stored again without storing it once more",
    "keep-retired": "facts that are stale keep their state retired when they are settled",
    "restore-stale": "apply undeletes a withdrawn version though the facts describe an older one",
    "no-restore-claim": "Restore settles the version it undeleted",
    "newest-alone": "Recover does not read the versions between the one described and the newest",
    "empty-any": "a record whose facts say empty is so, though it has newer versions than the fence that they name",
    "empty-unfenced": "data over facts that say empty are somebody's, so that they are not written again either",
    "adopt-bare": "Adopt stores before it has written facts",
    "adopting-retires": "facts that say adopting make their client the old one of a rotation, like any other facts",
}

# nexus: frozenset of (cid, mark, archived), mark: 1 ours and unfinished, 0 finished, -1 hand-made, -2 and renamed
# versions: tuple of (cid, flag, by); cid 0: empty, -1: a person's rubbish; flag d: deleted, x: destroyed;
# by 1: a person's, 2: and described since. meta: the facts or None
# flight: tuple of (1 if its owner waits for the answer, effect)
# waiting: kinds of runners not yet begun; run: the one that holds the lock; ncid: the next client id
# human, hands: acts left to who registers by hand, and to who writes in Vault; slack: answers that may get lost
# told: what was last reported (in use, retired), what began since, or ! and a breach; drift: something excused landed
S = namedtuple("S", "nexus versions meta flight waiting run ncid human hands slack told drift")
R = namedtuple("R", "kind at seen plan")
F = namedtuple("F", "cid version retiring leaving state")
NEW, HAND = "new", 99
EMPTY = F(0, 0, 0, 0, "empty")
opts = None


# ── the services ──────────────────────────────────────────────────────────────────────────────────────────────────────


def land(s, k):
    """Apply the k-th request in flight, and hand its answer to its owner if that still waits."""
    live, op = s.flight[k]
    s = s._replace(flight=s.flight[:k] + s.flight[k + 1 :])
    (name, *rest), answer = op, True
    if name == "post":
        s, answer = s._replace(nexus=s.nexus | {(s.ncid, 1, False)}, ncid=s.ncid + 1), s.ncid
    elif name in ("delete", "finish", "archive", "unarchive"):
        found = next((a for a in s.nexus if a[0] == rest[0]), None)
        answer = name == "delete" or bool(found) and not (name == "finish" and found[2])
        if name == "delete" and rest[0] in {cid for cid, _, _ in s.versions} and s.hands == opts.hands:
            s = s._replace(told="!an application whose credential was stored was deleted")
        if found and answer:
            after = {"finish": (found[0], 0, False), "archive": (*found[:2], True), "unarchive": (*found[:2], False)}
            s = s._replace(nexus=s.nexus - {found} | ({after[name]} if name != "delete" else set()))
        if not live and excused(s, *op):
            s = s._replace(drift=True, told="")
    elif name in ("store", "fence", "claim", "back"):  # a new credential; the same or none; the same; the old one
        cas, cid = rest
        answer = len(s.versions) == cas
        if answer:
            top = s.versions[-1] if s.versions else (0, "d", 0)
            if top[2] == 1 and top[0] != cid and living(top):
                s = s._replace(told="!what a person wrote was overwritten")
            s = s._replace(versions=(*s.versions, (cid, "", top[2] if top[0] == cid else 0)))
    elif name == "settle":
        s = s._replace(meta=rest[0])
        if s.versions and s.versions[-1][::2] == (s.meta.cid, 1) and s.meta.version == len(s.versions):
            s = s._replace(versions=(*s.versions[:-1], (*s.versions[-1][:2], 2)))
    elif name in ("withdraw", "undelete"):  # of one version, by its number
        s = flag(s, rest[0], "d" if name == "withdraw" else "")
    return answered(s, op, answer) if live else s


def excused(s, name, cid, late=""):
    """A late archive or delete that Nexus cannot refuse: see above."""
    if name == "delete":
        return s.hands < opts.hands and any(version[0] == cid for version in s.versions)
    return name == "archive" and (late == "late" or any(version[0] == cid and version[2] for version in s.versions))


def living(version):
    return not version[1]


def flag(s, number, value):
    """Mark a version; what is destroyed stays so."""
    cid, old, whose = s.versions[number - 1]
    value = old if old == "x" else value
    return s._replace(versions=(*s.versions[: number - 1], (cid, value, whose), *s.versions[number:]))


# ── a run ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def answered(s, op, answer):
    """The owner goes on with its plan, or does what a refused or unknown (None) effect calls for."""
    rest = s.run.plan[1:]
    if op[0] == "post" and answer:
        rest = tuple(bound(effect, answer) for effect in rest)
    elif op[0] == "store" and answer is None:
        rest = (("reread", op[2]), *rest)
    elif op[0] == "store" and not answer:  # refused, so the application just made goes
        rest = (("delete", op[2]), ("stop",))
    elif op[0] == "fence" and answer is False:  # something landed: look again
        rest = (("again",),)
    elif not answer:
        rest = (("stop",),)
    return go(s, rest)


def bound(effect, cid):
    name, *rest = effect
    rest = (F._make(cid if fact == NEW else fact for fact in part) if isinstance(part, F) else part for part in rest)
    return (name, *(cid if part == NEW else part for part in rest))


def go(s, plan):
    """Send the next effect of the plan at once, or get ready to read, or end and report."""
    head = plan[0] if plan else ("stop",)
    if head[0] == "again":
        return s._replace(run=s.run._replace(at="list", seen=None, plan=()))
    if head[0] == "report":
        return s._replace(run=None, told=head[1])
    if head[0] == "stop":
        return s._replace(run=None)
    if head[0] in ("read", "reread", "check"):
        return s._replace(run=s.run._replace(at=head[0], plan=plan))
    run = s.run._replace(at="wait", plan=plan, seen=None)
    return s._replace(run=run, flight=tuple(sorted((*s.flight, (1, head)), key=repr)))


def step(s):
    """The next thing that the run does by itself, a look: (label, state)."""
    r = s.run
    if r.at == "list":
        if r.kind == "restore":
            late = ((live, (*op[:2], "late") if op[2:] == ("whole",) else op) for live, op in s.flight)
            s = s._replace(flight=tuple(sorted(late, key=repr)))
        return "list", s._replace(run=r._replace(at="look", seen=s.nexus))
    if r.at == "look":
        if s.meta and s.meta.cid not in {a[0] for a in r.seen} and s.meta.cid in {a[0] for a in s.nexus}:
            return "look again", s._replace(run=r._replace(at="list", seen=None))  # made since the list
        told, plan = decide(s, r.kind, r.seen)
        if told.startswith(("retire", "restore")):
            taken = told == "retire" and r.kind == "apply" and s.told == "in use"
            s = s._replace(told="!an apply retires what was reported in use" if taken else told)
        return told, go(s, plan)
    if r.at == "read":
        told, plan = recover(s, r.plan[0][1], r.seen)
        return told, go(s, plan)
    if r.at == "reread":  # a store of unknown outcome may still land: see, or fence before the application is dropped
        cid = r.plan[0][1]
        if s.versions and s.versions[-1][:2] == (cid, ""):
            return "it was stored", go(s, r.plan[1:])
        fence, settle = fenced(s)
        return "it was not stored", go(s, (*fence, ("delete", cid), *settle, ("stop",)))
    if r.at == "check":
        number = r.plan[0][1]
        return f"read version {number}", go(s, r.plan[1:] if living(s.versions[number - 1]) else ())
    return None


def kind(s):
    """What a record is, from its metadata alone."""
    top = bool(s.versions) and living(s.versions[-1])
    if s.meta is None:
        return "foreign" if s.versions else "none"
    if s.meta.state == "empty" and not top and (s.meta.version >= len(s.versions) or opts.empty_any):
        return "empty"
    if s.versions and not top:
        return "withdrawn"
    if opts.no_version and s.versions:
        return "settled"
    return "settled" if s.versions and s.meta.version == len(s.versions) and s.meta.cid else "unsettled"


def decide(s, wish, seen):
    """The first row of the table that fits, from the list and the metadata alone; the effects of its step in order."""
    meta, v, what = s.meta, len(s.versions), kind(s)
    done = (("again",),) if wish == "apply" else (("report", "in use"),)
    lives = {cid for cid, _, archived in seen if not archived}
    marks = {cid: mark for cid, mark, _ in seen}
    named = (meta.cid, meta.retiring, meta.leaving) if meta and not opts.count_named else ()
    half = tuple(c for c in sorted(marks) if c not in named and (marks[c] if opts.no_mark else marks[c] == 1))
    adopt = (
        ("settle", F(HAND, 0, 0, 0, "adopting")),
        ("claim", v, HAND),
        ("settle", F(HAND, v + 1, 0, 0, "")),
        ("finish", HAND),
        ("report", "in use"),
    )[opts.adopt_bare :]
    if half:
        return "recover", (("read", half),)
    if what == "foreign":
        if wish == "adopt" and HAND in lives and s.versions[-1][:2] == (HAND, ""):
            return "adopt what somebody stored", adopt
        return "blocked: foreign", ()
    if what == "unsettled":
        if wish == "adopt" and meta.state == "adopting" and not v and HAND in lives:
            return "adopt", adopt
        return "recover", (("read", ()),)
    if what in ("none", "empty"):
        if marks.get(HAND) == -1:
            return ("adopt", adopt) if wish == "adopt" else ("blocked: made by hand", ())
        return ("create", created(meta, v, ())) if wish == "apply" else ("nothing to do", ())
    if wish == "adopt" and what == "withdrawn" and meta.state == "adopting" and HAND in lives:
        return "adopt", adopt
    olds = [old for old in (meta.leaving, meta.retiring) if old]
    unfinished = tuple(("finish", c) for c in (meta.cid, *olds) if marks.get(c) and c in lives)
    # no step leaves a mark behind on what it moves on from
    if unfinished and what == "settled" and not (opts.work_marked and wish != "apply"):
        return "update", (*unfinished, ("again",))
    cid, kept = meta.cid, meta.version and s.versions[meta.version - 1][1]
    if cid not in marks:
        return "blocked: gone", ()
    if what == "withdrawn" and not kept and meta.version and meta.state != "retired" and not opts.restore_stale:
        return "blocked: facts older than what was withdrawn", ()  # which hide a Retire or Restore that stopped
    if wish == "restore" and (what == "withdrawn" or meta.state == "retired" or cid not in lives):
        if not meta.version or kept == "x":
            return "blocked: destroyed", ()
        return "restore", (*restored(s, cid in lives, kept), *done)
    if wish == "retire" or meta.state == "retired" and cid in lives:
        if wish == "retire" and meta.state == "retired" and cid not in lives and what == "withdrawn":
            return "nothing to do", ()
        return "retire", retired(s, lives)
    if what == "withdrawn":
        if cid not in lives:
            return "blocked: retired", ()
        if not meta.version or kept == "x":
            return "blocked: destroyed", ()
        return "restore", (*restored(s, True, kept), *done)
    if cid not in lives:
        return "blocked: archived", ()
    if wish == "rotate":
        return "rotate", (
            created(meta, v, (cid,))
            if opts.keep_oldest
            else expired(meta, v, olds, lives, lambda m, n: created(m, n, (cid,)))
        )
    if wish == "back" and meta.retiring in lives and (meta.retiring, "") in {version[:2] for version in s.versions}:
        facts = F(meta.retiring, v + 1, cid, meta.leaving, "")
        return "go back", (("back", v, meta.retiring), ("settle", facts), *done)
    gone = [old for old in olds if old not in lives]
    if wish == "due" and olds or gone:
        return "expire", expired(meta, v, olds if wish == "due" else gone, lives, lambda m, n: done)
    return "in sync", (("report", "in use"),)


def created(meta, v, olds):
    """Register, store, settle, finish; a Rotate is the same with an old one that retires."""
    leaving = meta.leaving if meta and not opts.keep_oldest else 0
    effects = (
        ("post",),
        ("store", v, NEW),
        ("settle", F(NEW, v + 1, olds[0] if olds else 0, leaving, "")),
        ("finish", NEW),
    )
    if opts.finish_first:
        effects = (*effects[:2], effects[3], effects[2])
    return (*effects, ("report", "in use"))


def expired(meta, v, olds, lives, then):
    """Claim, archive, settle without it, of each; then what follows, given the facts and the version reached."""
    effects = ()
    for old in olds:
        if old in lives:
            if old == meta.retiring and not opts.no_claim:  # from here on nobody can go back to the old one
                effects, v = (*effects, ("claim", v, meta.cid)), v + 1
            effects = (*effects, ("archive", old, "old"))
        meta = F(meta.cid, v, *(0 if former == old else former for former in (meta.retiring, meta.leaving)), meta.state)
        effects = (*effects, ("settle", meta))
    return (*effects, *then(meta, v))


def retired(s, lives):
    """Expire the old ones, claim, facts that say so, withdraw the version, archive; or go on with one that stopped."""
    meta, v = s.meta, len(s.versions)
    end = (("archive", meta.cid, "whole"), ("report", "retired"))
    if kind(s) == "withdrawn":  # what a Restore that died has in flight must not bring it back
        fence = () if opts.resume_bare else (("claim", v, 0), ("withdraw", v + 1))
        says = () if meta.state == "retired" else (("settle", meta._replace(state="retired")),)
        return (*fence, *says, *end)

    def withdrawn(meta, v):
        claim = () if opts.no_retire_claim else (("claim", v, meta.cid),)
        v += len(claim)
        return (*claim, ("settle", meta._replace(version=v, state="retired")), ("withdraw", v), *end)

    return expired(meta, v, [old for old in (meta.leaving, meta.retiring) if old], lives, withdrawn)


def restored(s, lives, kept):
    """Unarchive, undelete by number and read, claim, settle."""
    meta, v = s.meta, len(s.versions)
    effects = (() if lives else (("unarchive", meta.cid),)) + ((("undelete", meta.version),) if kept else ())
    claim = () if opts.no_restore_claim else (("claim", v, meta.cid),)
    facts = meta._replace(version=v + len(claim), state="")
    return (*effects, ("check", meta.version), *claim, ("settle", facts))


def recover(s, half, seen):
    """What is stored now decides, not what the plan saw: a late store or settle may have landed since."""
    meta, v, what = s.meta, len(s.versions), kind(s)
    lives = {cid for cid, _, archived in seen if not archived}
    top = s.versions[-1] if s.versions else (0, "d", 0)
    stored = top[0] if living(top) else 0
    if meta and not (opts.no_look_again or opts.count_named):  # named since, though a person may have withdrawn it
        half = tuple(c for c in half if c == stored or c not in (meta.cid, meta.retiring, meta.leaving))
    if stored in half and not (opts.no_look_again and what == "settled"):
        settle = settled_again(s, stored, lives) if what != "settled" else ()
        finish = (("finish", stored),) if stored in lives else ()
        return f"{stored} is stored", (finish + settle if opts.finish_first else settle + finish) + (("again",),)
    if half:
        fence, settle = fenced(s, lives)
        return f"{half} not stored", (*fence, *(("delete", c) for c in half), *settle, ("again",))
    if what != "unsettled":
        return "settled meanwhile", (("again",),)
    if v and living(top) and not top[0]:
        return "close an empty fence", (("withdraw", v), ("again",))
    same = meta.version and s.versions[meta.version - 1][:2] == (stored, "")
    if stored > 0 and (same or stored in lives):
        return "settle", (*settled_again(s, stored, lives), ("again",))
    return "blocked: not ours", ()


def settled_again(s, stored, lives):
    """Store it again, then settle: facts and withdrawals that are still to land then name an old version."""
    v, again = len(s.versions), 0 if opts.settle_as_is or s.meta is None else 1
    facts = succeeded(s, v, stored, lives)._replace(version=v + again)
    return (*(("fence", v, stored),) * again, ("settle", facts))


def fenced(s, lives=frozenset()):
    """The effects that raise the record's version, and those that settle it once the application is deleted."""
    meta, v, what = s.meta, len(s.versions), kind(s)
    top = s.versions[-1] if s.versions else (0, "d", 0)
    if opts.no_fence or living(top) and top[0] and (meta is None or opts.empty_unfenced and meta.state == "empty"):
        return (), ()  # somebody's data is never written, and no store of ours names a version that it has
    if living(top) and top[0]:
        settle = (("settle", succeeded(s, v + 1, meta.cid, lives)),) if what == "settled" else ()
        return (("fence", v, top[0]),), settle
    blank = living(top) and meta is not None and meta.state == "empty" and meta.version >= v
    says = (("settle", EMPTY._replace(version=v + 1)),) if blank or what in ("none", "empty") else ()
    return (*says, ("fence", v, 0), ("withdraw", v + 1)), ()


def succeeded(s, v, cid, lives):
    """The facts of the newest version: the same client is a claim or a fence; for another one the old one retires."""
    meta = s.meta or EMPTY
    if meta.cid == cid and opts.forget_claim:
        return meta._replace(version=v)
    before = meta.cid if meta.version or opts.adopting_retires else 0  # one that is only being adopted is not ours yet
    # stale facts may be an older run's that landed late over newer ones: who was stored since tells whom those named
    since = () if opts.newest_alone else s.versions[meta.version if meta.cid else 0 : v]
    olds = {before, meta.leaving, meta.retiring, *(c for c, gone, _ in since if not gone)} & {*lives} - {cid}
    state = meta.state if meta.cid == cid and (kind(s) == "settled" or opts.keep_retired) else ""
    if v == meta.version + 1 and before != cid:  # stored once since: nobody can have claimed
        return F(cid, v, *({before} & olds or {0}), max(olds - {before}, default=0), "")
    leaving, others = max(olds, default=0), sorted(olds)[:-1]
    return F(cid, v, max(others, default=0), leaving, "" if state in ("adopting", "empty") else state)


# ── everything that may happen ────────────────────────────────────────────────────────────────────────────────────────


def moves(s):
    if s.run:
        if made := step(s):
            yield f"{s.run.kind}: {made[0]}", made[1]
        yield (
            f"{s.run.kind} stops, its lease ends",
            s._replace(run=None, flight=tuple(sorted(((0, op) for _, op in s.flight), key=repr))),
        )
    for k, (live, op) in enumerate(s.flight):
        yield f"lands: {op}", land(s, k)
        orphans = s.flight[:k] + s.flight[k + 1 :]
        if not live:
            yield f"lost: {op}", s._replace(flight=orphans)
        elif s.slack:
            late = tuple(sorted((*orphans, (0, op)), key=repr))
            yield f"no answer: {op}", answered(s._replace(slack=s.slack - 1, flight=late), op, None)
    if not s.run:
        for k in range(len(s.waiting)):
            if s.waiting[k] not in s.waiting[:k]:
                run = R(s.waiting[k], "list", None, ())
                yield f"{run.kind} begins", s._replace(run=run, waiting=s.waiting[:k] + s.waiting[k + 1 :])
    if s.human == 2:
        yield "a person registers the name by hand", s._replace(human=1, nexus=s.nexus | {(HAND, -1, False)})
    elif s.human == 1 and (HAND, -1, False) in s.nexus:
        yield "a person renames it", s._replace(human=0, nexus=s.nexus - {(HAND, -1, False)} | {(HAND, -2, False)})
    if s.hands:
        run = s.run and s.run._replace(plan=tuple(effect for effect in s.run.plan if effect[0] != "report"))
        t = s._replace(hands=s.hands - 1, told="", run=run)
        known = {-1, *(cid for cid, _, _ in s.versions if cid > 0), *(a[0] for a in s.nexus if a[1] < 0)}
        for cid in sorted(known):
            yield f"a person stores {cid} by hand", t._replace(versions=(*s.versions, (cid, "", 1)))
        for number, (_, old, _) in enumerate(s.versions, 1):
            if number == len(s.versions) or s.meta and number == s.meta.version:
                for word, value in (("deletes", "d"), ("destroys", "x")):
                    if value != old and old != "x":
                        yield f"a person {word} version {number}", flag(t, number, value)


def broken(s):
    """The invariant that does not hold at this instant."""
    if s.told[:1] == "!":
        return s.told[1:]
    hand = next((a for a in s.nexus if a[0] == HAND), None)
    if (
        s.human < 2
        and opts.human
        and (not hand or HAND not in {v[0] for v in s.versions} and (hand[1] >= 0 or hand[2]))
    ):
        return "somebody else's application was touched"
    top = s.versions[-1] if s.versions else (0, "d", 0)
    alive = {cid for cid, _, archived in s.nexus if not archived}
    if living(top) and top[0] and top[0] not in alive and not top[2] and not s.drift:
        return "the newest stored credential belongs to a deleted or archived application"
    if s.told == "in use" and not (living(top) and top[0]):
        return "what was reported in use cannot be fetched"
    if s.told == "retired" and living(top) and top[0]:
        return "what was reported retired can be fetched"
    return None


def unsettled(before, s, word):
    """The invariant that does not hold after an undisturbed apply, whose last word this was."""
    top = s.versions[-1] if s.versions else (0, "d", 0)
    alive = {cid: mark for cid, mark, archived in s.nexus if not archived}
    fetchable = living(top) and top[0] in alive and s.meta is not None and s.meta[:2] == (top[0], len(s.versions))
    in_use = fetchable and alive[top[0]] == 0 and s.meta.state in ("", "adopting")
    away = not living(top) and s.meta is not None and s.meta.cid and s.meta.cid not in alive
    by_hand = s.hands < opts.hands
    # facts that landed late hide a Retire or Restore that stopped: a person says which of them is meant
    undone = before.told in ("retire", "restore", "retired") and word.startswith("blocked") and not living(top)
    named = {s.meta.cid, s.meta.retiring, s.meta.leaving} if s.meta else set()
    stored = {cid for cid, _, _ in s.versions} if by_hand or undone else set()
    if stray := [cid for cid, mark in alive.items() if mark >= 0 and cid not in named | stored]:
        return f"after a clean apply {stray} is unexplained"
    if in_use and before.told != "retired" or (s.drift or by_hand) and word.startswith("blocked"):
        return None
    left = (
        before.told == "" and not any(cid for cid, _, _ in s.versions) and word.startswith("blocked")
    )  # nothing is ours
    if before.told != "in use" and (away or undone or left):
        return None
    return f"after a clean apply ({word}) it is neither in use nor retired nor a person's"


def clean_apply(s):
    """No run is left and nothing is in flight: one apply without disturbance; what it comes to, and its last word."""
    s, word = s._replace(run=R("apply", "list", None, ())), ""
    for _ in range(200):
        if not s.run or broken(s):
            return s, word
        at = s.run.at
        made = step(s)
        word = made[0] if made and at != "list" else word
        s = made[1] if made else land(s, 0)
    return None, word


STARTS = {
    "empty": ((), (), None, 2),
    "settled": (((1, 0, False),), (1,), F(1, 1, 0, 0, ""), 2),
    "rotated": (((1, 0, False), (2, 0, False)), (1, 2), F(2, 2, 1, 0, ""), 3),
    "unfinished": (((1, 1, False), (2, 1, False)), (1, 2), F(2, 2, 1, 0, ""), 3),
    "retired": (((1, 0, True),), (1,), F(1, 1, 0, 0, "retired"), 2),
}


def main():
    global opts
    parser = argparse.ArgumentParser()
    for part, text in PARTS.items():
        parser.add_argument("--" + part, action="store_true", help=text)
    parser.add_argument("--runners", default="apply,rotate")
    parser.add_argument("--start", choices=STARTS, default="empty")
    parser.add_argument("--human", action="store_true", help="a person may register the name by hand, and rename that")
    parser.add_argument("--hands", type=int, default=0, help="so many times may a person change the record by hand")
    parser.add_argument(
        "--timeouts", type=int, default=0, help="so many answers may be lost while their request lands, late or never"
    )
    opts = parser.parse_args()
    nexus, stored, meta, ncid = STARTS[opts.start]
    told = {"empty": "", "retired": "retired"}.get(opts.start, "in use")
    versions = tuple((cid, "d" if told == "retired" else "", 0) for cid in stored)
    waiting = tuple(opts.runners.split(","))
    start = S(
        frozenset(nexus),
        versions,
        meta,
        (),
        waiting,
        None,
        ncid,
        2 * opts.human,
        opts.hands,
        opts.timeouts,
        told,
        False,
    )
    seen, queue, ends = {start: None}, [start], 0

    def trace(s, why):
        lines, last = [], s
        while seen[s]:
            label, s = seen[s]
            lines.append(label)
        print("\n".join(reversed(lines)))
        print(f"   {sorted(last.nexus)} {last.versions} {last.meta}\n=>", why)
        sys.exit(1)

    for s in queue:  # breadth first, so that the trace is a shortest one
        if why := broken(s):
            trace(s, why)
        if not s.run and not s.flight:
            ends += 1
            t, word = clean_apply(s)
            if why := broken(t) or unsettled(s, t, word) if t else "the clean apply does not end":
                trace(s, why)
        for label, t in moves(s):
            if t not in seen:
                seen[t] = (label, s)
                queue.append(t)
    print(f"{len(seen)} states, {ends} ends, every invariant holds")


main()
