#!/usr/bin/env python3
"""Explores every interleaving of the custody protocol for one application.

Two or more runners (apply; rotate; due: expire the old one of a rotation; back: return to the old one), each of which may
crash at any point, lose its lease at any point, and leave requests in flight that land late or never; a person who may
register the same name by hand; then one undisturbed apply. Prints the first trace that breaks an invariant.

Invariants: nobody else's application is touched; once a settled credential exists, the newest stored one always belongs to
a living application that is not archived; after the undisturbed apply exactly one credential is stored, its application
lives and is finished, no application of ours is left unexplained, and the facts describe the newest version.

    custody_model.py [--runners apply,rotate,due,back] [--start empty|settled|rotated] [--timeouts N] [--human]
    and, to see what each part is for, [--no-fence] [--no-mark] [--no-version] [--no-claim] [--forget-claim] [--finish-first]
"""

import argparse
import sys
from collections import namedtuple

# nexus: frozenset of (cid, mark) alive; mark = run number while unfinished, 0 finished, -1 foreign, -2 archived
# data: (version, cid or 0); meta: (cid, version, old) or None, old: cid that retires, negative once it is leaving for good, 0 none; lock: (version, holder run or 0, lease alive)
# flight: tuple of (owner, op); runner: (kind, pc, locals...) ; next cid; human: may still act
S = namedtuple("S", "nexus data meta lock flight runners ncid human settled slack")
R = namedtuple("R", "kind run pc lockv seen seendata todo cid answer lease old")
DEAD, DONE = "dead", "done"
opts = None


def runner(kind, run):
    return R(kind, run, "start", 0, None, None, None, 0, None, True, 0)


def put(s, i, **kw):
    rs = list(s.runners)
    rs[i] = rs[i]._replace(**kw)
    return s._replace(runners=tuple(rs))


def send(s, i, op, pc):
    s = put(s, i, pc=pc, answer=None)
    return s._replace(flight=s.flight + ((i, op),))


def land(s, k):
    """Apply the k-th request in flight and hand its answer to a living owner."""
    owner, op = s.flight[k]
    s = s._replace(flight=s.flight[:k] + s.flight[k + 1 :])
    name, ok = op[0], True
    if name == "post":
        s = s._replace(nexus=s.nexus | {(s.ncid, op[1])}, ncid=s.ncid + 1)
        ok = s.ncid - 1
    elif name == "delete":
        s = s._replace(nexus=frozenset(a for a in s.nexus if a[0] != op[1]))
    elif name == "finish":
        if any(a[0] == op[1] for a in s.nexus):
            s = s._replace(nexus=frozenset(a for a in s.nexus if a[0] != op[1]) | {(op[1], 0)})
        else:
            ok = False
    elif name == "store":  # cas, cid
        if s.data[0] == op[1]:
            s = s._replace(data=(op[1] + 1, op[2]))
        else:
            ok = False
    elif name == "settle":  # cid, version, retiring
        s = s._replace(meta=op[1:], settled=s.settled or (s.data[1] == op[1]))
    elif name == "archive":
        s = s._replace(nexus=frozenset((c, -2 if c == op[1] else mark) for c, mark in s.nexus))
    elif name == "lock":  # cas, holder
        if s.lock[0] == op[1]:
            s = s._replace(lock=(op[1] + 1, op[2], bool(op[2])))
        else:
            ok = False
    if owner >= 0 and s.runners[owner].pc not in (DEAD, DONE):
        s = put(s, owner, answer=(name, ok))
    return s


def step(s, i):
    """One step of runner i: a list of (label, state)."""
    r = s.runners[i]
    if r.pc == "start":
        if s.lock[1] and s.lock[2]:
            return [("lock held", put(s, i, pc=DONE))]
        return [("take lock", send(put(s, i, lockv=s.lock[0] + 1), i, ("lock", s.lock[0], r.run), "locking"))]
    if r.pc == "locking":
        if not r.answer:
            return []
        return [
            (
                "locked" if r.answer[1] is True else "lost the race",
                put(s, i, pc="see nexus" if r.answer[1] is True else DONE, answer=None),
            )
        ]
    if r.pc == "see nexus":
        return [("list", put(s, i, seen=s.nexus, pc="see data"))]
    if r.pc == "see data":
        return [("read", put(s, i, seendata=(s.data, s.meta), pc="decide"))]
    if r.pc == "decide":
        (version, cid), meta = r.seendata
        alive = {a[0]: a[1] for a in r.seen}
        # a record read after the list may name an application made since: look again
        if cid and cid not in alive and any(a[0] == cid for a in s.nexus):
            return [("look again", put(s, i, pc="see nexus"))]
        garbage = [c for c, mark in alive.items() if mark > 0 and mark != r.run and c != cid]
        if opts.no_mark:  # the name alone decides
            garbage = [c for c, mark in alive.items() if mark != 0 and c != cid and mark != r.run]
        if garbage:
            return [(f"recover {garbage[0]}", put(s, i, todo=garbage[0], pc="delete?" if opts.no_fence else "fence?"))]
        if cid in alive:
            if meta is None and alive[cid] <= 0:
                return [("blocked by a record that is not ours", put(s, i, pc="release"))]
            if meta is None or not opts.no_version and meta[:2] != (cid, version):
                # stale facts. Another one stored: the one they name retires. The same one stored again: a claim or a fence, so
                # the old one leaves for good
                old = 0
                if meta and meta[0] != cid:
                    old = meta[0] if alive.get(meta[0]) == 0 else 0
                elif meta and alive.get(abs(meta[2])) == 0:
                    old = meta[2] if opts.forget_claim else -abs(meta[2])
                return [("settle", put(s, i, cid=cid, old=old, pc="settle?"))]
            if alive[cid] > 0:
                return [("finish", put(s, i, cid=cid, pc="finish?"))]
            if r.kind == "rotate" and not meta[2]:
                return [("rotate", put(s, i, kind="apply", old=cid, pc="post?"))]
            if r.kind == "back" and alive.get(meta[2]) == 0:
                return [("go back", put(s, i, kind="apply", cid=meta[2], old=cid, pc="restore?"))]
            if r.kind == "due" and alive.get(abs(meta[2])) == 0:
                return [
                    (
                        "expire the old",
                        put(
                            s,
                            i,
                            kind="apply",
                            todo=abs(meta[2]),
                            pc="archive?" if opts.no_claim or meta[2] < 0 else "claim?",
                        ),
                    )
                ]
            return [("in sync", put(s, i, pc="release"))]
        if any(mark == -1 for mark in alive.values()) and not cid:
            return [("blocked by a hand-made one", put(s, i, pc="release"))]
        return [("create", put(s, i, pc="post?"))]
    if r.pc.endswith("?"):  # lease check, a step of its own, so that a pause fits between check and effect
        if not r.lease:
            return [("lease lost", put(s, i, pc=DONE))]
        return [("lease good", put(s, i, pc=r.pc[:-1]))]
    if r.pc == "fence":
        (version, cid), _ = r.seendata
        return [("fence", send(s, i, ("store", version, cid), "fencing"))]
    if r.pc == "fencing":
        if not r.answer:
            return []
        return [
            ("fenced", put(s, i, pc="delete?", answer=None))
            if r.answer[1] is True
            else ("fence refused", put(s, i, pc="see nexus", answer=None))
        ]
    if r.pc == "delete":
        return [("delete", send(s, i, ("delete", r.todo), "deleting"))]
    if r.pc == "deleting":
        return [("deleted", put(s, i, pc="see nexus", answer=None))] if r.answer else []
    if r.pc == "post":
        return [("post", send(s, i, ("post", r.run), "posting"))]
    if r.pc == "posting":
        if r.answer and r.answer[1] == "?":
            return [("in doubt", put(s, i, pc="release", answer=None))]
        return [("answered", put(s, i, cid=r.answer[1], pc="store?", answer=None))] if r.answer else []
    if r.pc == "store":
        return [("store", send(s, i, ("store", r.seendata[0][0], r.cid), "storing"))]
    if r.pc == "storing":
        if not r.answer:
            return []
        if r.answer[1] == "?":
            return [("store unknown", put(s, i, pc="reread", answer=None))]
        return [
            (
                "stored",
                put(
                    s,
                    i,
                    pc="finish?" if opts.finish_first else "settle?",
                    seendata=((r.seendata[0][0] + 1, r.cid), None),
                    answer=None,
                ),
            )
            if r.answer[1]
            else ("store refused", put(s, i, pc="drop", answer=None))
        ]
    if r.pc == "reread":  # a store of unknown outcome may still land: see, or fence before the application is dropped
        if s.data[1] == r.cid:
            return [("it was stored", put(s, i, pc="settle?", seendata=(s.data, None)))]
        if opts.no_fence:
            return [("it was not stored", put(s, i, pc="drop"))]
        return [
            (
                "it was not stored: fence",
                send(put(s, i, seendata=(s.data, None)), i, ("store", s.data[0], s.data[1]), "refencing"),
            )
        ]
    if r.pc == "refencing":
        if not r.answer:
            return []
        return [("refenced", put(s, i, pc="drop" if r.answer[1] is True else "reread", answer=None))]
    if (
        r.pc == "restore"
    ):  # the old credential becomes the newest version again; both live, so an unknown outcome hurts nobody
        return [("store the old", send(s, i, ("store", r.seendata[0][0], r.cid), "restoring"))]
    if r.pc == "restoring":
        if not r.answer:
            return []
        if r.answer[1] is not True:
            return [("store refused or unknown", put(s, i, pc="release", answer=None))]
        return [("stored", put(s, i, pc="settle?", seendata=((r.seendata[0][0] + 1, r.cid), None), answer=None))]
    if r.pc == "claim":  # from here on nobody can go back to the old one
        return [("claim", send(s, i, ("store", *r.seendata[0]), "claiming"))]
    if r.pc == "claiming":
        if not r.answer:
            return []
        if r.answer[1] is not True:
            return [("claim refused or unknown", put(s, i, pc="release", answer=None))]
        return [
            (
                "claimed",
                put(s, i, pc="archive?", seendata=((r.seendata[0][0] + 1, r.seendata[0][1]), None), answer=None),
            )
        ]
    if r.pc == "archive":
        return [("archive", send(s, i, ("archive", r.todo), "archiving"))]
    if r.pc == "archiving":
        if r.answer and r.answer[1] == "?":  # facts stay stale, and name the old one, until it is seen archived
            return [("archive unknown", put(s, i, pc="release", answer=None))]
        return [("archived", put(s, i, pc="settle?", cid=r.seendata[0][1], old=0, answer=None))] if r.answer else []
    if r.pc == "drop":  # the application just made: its secret was refused, or fenced out, so it is deleted
        return [("drop own", send(s, i, ("delete", r.cid), "dropping"))]
    if r.pc == "dropping":
        return [("dropped", put(s, i, pc=DONE, answer=None))] if r.answer else []
    if r.pc == "finish":
        return [("finish", send(s, i, ("finish", r.cid), "finishing"))]
    if r.pc == "finishing":
        return (
            [("finished", put(s, i, pc="settle?" if opts.finish_first else "release", answer=None))] if r.answer else []
        )
    if r.pc == "settle":
        return [("settle", send(s, i, ("settle", r.cid, r.seendata[0][0], r.old), "settling"))]
    if r.pc == "settling":
        if r.answer and r.answer[1] == "?":
            return [("settle unknown", put(s, i, pc="release", answer=None))]
        return (
            [("settled", put(s, i, pc="release" if opts.finish_first else "finish?", answer=None))] if r.answer else []
        )
    if r.pc == "release":
        return [("release", send(s, i, ("lock", r.lockv, 0), "releasing"))]
    if r.pc == "releasing":
        return [("released", put(s, i, pc=DONE, answer=None))] if r.answer else []
    return []


def moves(s):
    for i, r in enumerate(s.runners):
        if r.pc in (DEAD, DONE):
            continue
        for label, t in step(s, i):
            yield f"{r.kind} {r.run}: {label}", t
        if r.pc != "start":
            yield f"run {r.run} crashes", put(s, i, pc=DEAD, seen=None, seendata=None, todo=None, cid=0, answer=None)
    for k, (owner, op) in enumerate(s.flight):
        yield f"lands: {op}", land(s, k)
        if s.slack and owner >= 0 and s.runners[owner].pc not in (DEAD, DONE):
            yield (
                f"times out: {op}",
                put(
                    s._replace(slack=s.slack - 1, flight=s.flight[:k] + ((-1, op),) + s.flight[k + 1 :]),
                    owner,
                    answer=(op[0], "?"),
                ),
            )
        if owner < 0 or s.runners[owner].pc in (DEAD, DONE):
            yield f"lost: {op}", s._replace(flight=s.flight[:k] + s.flight[k + 1 :])
    if s.lock[1] and s.lock[2]:
        # the onlooker has seen the lock unchanged for a whole lease; the holder's own clock, started earlier, ended first
        t = s._replace(lock=(s.lock[0], s.lock[1], False))
        for i, r in enumerate(t.runners):
            if r.run == s.lock[1]:
                t = put(t, i, lease=False)
        yield "lease ends", t
    if s.human:
        yield "a person registers the name by hand", s._replace(human=False, nexus=s.nexus | {(99, -1)})


def broken(s, final=False):
    alive = {c for c, mark in s.nexus if mark != -2}
    if not s.human and opts.human and 99 not in alive:
        return "somebody else's application was deleted"
    if s.settled and s.data[1] and s.data[1] not in alive:
        return "the newest stored credential belongs to a deleted or archived application"
    if final:
        blocked = 99 in alive and not s.data[1]
        if not blocked and s.data[1] not in alive:
            return "after a clean apply no living credential is stored"
        if not blocked and (s.data[1], 0) not in s.nexus:
            return "after a clean apply the application is unfinished"
        if not blocked and s.meta[:2] != (s.data[1], s.data[0]):
            return f"after a clean apply the metadata describes {s.meta}, data is {s.data}"
        stray = [a for a in s.nexus if a[1] > 0 or a[1] == 0 and s.meta and a[0] not in (s.meta[0], abs(s.meta[2]))]
        if stray:
            return f"after a clean apply {stray} is unexplained"
    return None


def clean_apply(s):
    """Everyone is dead or done and nothing is in flight: take over and run one apply without disturbance."""
    s = s._replace(lock=(s.lock[0], s.lock[1], False), runners=s.runners + (runner("apply", 9),))
    i = len(s.runners) - 1
    for _ in range(200):
        if s.runners[i].pc == DONE:
            return s
        made = step(s, i)
        s = made[0][1] if made else land(s, 0)
    return None


def main():
    global opts
    parser = argparse.ArgumentParser()
    for flag in ("no-fence", "no-mark", "no-version", "no-claim", "forget-claim", "finish-first", "human"):
        parser.add_argument("--" + flag, action="store_true")
    parser.add_argument("--runners", default="apply,rotate")
    parser.add_argument(
        "--timeouts", type=int, default=0, help="so many answers may be lost while their request lands, late or never"
    )
    parser.add_argument("--start", choices=("empty", "settled", "rotated"), default="empty")
    opts = parser.parse_args()
    nexus, data, meta = {
        "empty": ((), (0, 0), None),
        "settled": (((1, 0),), (1, 1), (1, 1, 0)),
        "rotated": (((1, 0), (2, 0)), (2, 2), (2, 2, 1)),
    }[opts.start]
    start = S(
        frozenset(nexus),
        data,
        meta,
        (0, 0, False),
        (),
        tuple(runner(kind, n + 1) for n, kind in enumerate(opts.runners.split(","))),
        3,
        opts.human,
        bool(meta),
        opts.timeouts,
    )
    seen, stack, ends = {start: None}, [start], 0

    def trace(s, extra):
        lines = []
        while seen[s]:
            label, s = seen[s]
            lines.append(label)
        print("\n".join(reversed(lines)))
        print("=>", extra)
        sys.exit(1)

    while stack:
        s = stack.pop()
        if why := broken(s):
            trace(s, why)
        if all(r.pc in (DEAD, DONE) for r in s.runners) and not s.flight:
            ends += 1
            t = clean_apply(s)
            if t is None:
                trace(s, "the clean apply does not end")
            if why := broken(t, final=True):
                trace(s, f"{why}   {t.nexus} {t.data} {t.meta}")
        for label, t in moves(s):
            if t not in seen:
                seen[t] = (label, s)
                stack.append(t)
    print(f"{len(seen)} states, {ends} ends, every invariant holds")


main()
