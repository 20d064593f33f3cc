"""What holds for all tests."""

from __future__ import annotations

import signal

# a shell that starts all this in its background has both ignored, and so would have what the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_make_parametrize_id(val: object) -> str | None:
    """An answer is called by its first line: what collects on another second, in another process, has another Date."""
    if isinstance(val, bytes):
        val = val.decode(errors="replace")
    return val.partition("\r\n")[0] if isinstance(val, str) and val.startswith("HTTP/1.") else None
