"""`python -m registrar` and the `registrar` command: a process that leaves no secret behind when it crashes.

What holds for the process as a whole is set here, and by nobody else but a command that stays open.
"""

import gc
import sys

if sys.platform != "win32":
    import resource


def main() -> int:
    """Run the command line in a process whose memory nobody writes to a disk."""
    _leave_no_core()
    # a command keeps nearly all that it makes, and Python would look through it all the time for cycles that are none
    gc.set_threshold(1_000_000, 20, 20)
    from registrar.cli import main as command

    try:
        return command()
    finally:
        gc.freeze()  # nor at the end, which takes longer than most commands do


def _leave_no_core() -> None:
    """One byte: Linux writes no core so short, nor hands one to a crash reporter, which a limit of 0 would not stop."""
    if sys.platform == "win32":
        return
    limit = int(resource.getrlimit(resource.RLIMIT_CORE)[1] != 0)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
