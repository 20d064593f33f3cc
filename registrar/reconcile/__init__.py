"""Makes Nexus and Vault agree with the manifests: `observe()` and `apply()`, the only place where effects are ordered.

before       observe and preflight: what there is, before the first effect
run          one run: its steps in a pool, by path, each in order
locked       a whole change: the lock, what there is, the review, the run
registering  create and rotate
recovering   what an interrupted run left
lives        update, expire, back, retire, restore, adopt
hands        the lease, and the moves on a record that all of these share

    Create   1 register (marked)   2 store   3 settle   4 finish (declared description)
    Rotate   the same, with a second application, proven between 1 and 2; settle: the old one retires
    Update   1 change              2 settle
    Recover  read: this client id → store it again, settle, finish;   another's → 1 fence   2 delete   3 settle
    Expire   1 claim               2 archive              3 settle without it
    Back     1 store the old one   2 settle: the other retires
    Retire   1 claim, settle       2 delete the version   3 archive
    Restore  1 unarchive           2 undelete, read       3 claim   4 settle
    Adopt    1 prove               2 facts: adopting      3 store   4 settle   5 change

An application of ours is at any instant explained by Vault or marked, and the newest stored credential belongs to a
living application: that is why the mark goes last, the fence before a delete and the claim before an archive.

Must never import a client, print, or decide what a row of the table means: `plan` does.
"""

from registrar.reconcile.before import observe, preflight
from registrar.reconcile.hands import GRACE, Pace
from registrar.reconcile.locked import Course, Holder, locked
from registrar.reconcile.run import Run, apply, recover

__all__ = ["GRACE", "Course", "Holder", "Pace", "Run", "apply", "locked", "observe", "preflight", "recover"]
