"""`python -m registrar` and the `registrar` command: a process that leaves no secret behind when it crashes."""

import sys

if sys.platform != "win32":
    import resource


def main() -> int:
    """Run the command line in a process whose memory nobody writes to a disk."""
    _leave_no_core()
    from registrar.cli import main as command

    return command()


def _leave_no_core() -> None:
    """One byte: Linux writes no core so short, nor hands one to a crash reporter, which a limit of 0 would not stop."""
    if sys.platform == "win32":
        return
    limit = int(resource.getrlimit(resource.RLIMIT_CORE)[1] != 0)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
