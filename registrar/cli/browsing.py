"""A person's browser, opened on a link.

Owns what that process may know of the environment: nothing that is for Nexus or Vault. Must never open one that would
take the terminal away.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from registrar import config

_OPEN: Final = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
_SOON_S: Final = 2.0


def opened(url: str) -> bool:
    """Whether a browser with a window took the link, or has not said no by now."""
    environ = config.environment()
    if not config.graphical(environ):
        return False
    theirs = {name: text for name, text in environ.items() if not name.startswith(("NEXUS_", "VAULT_", "BAO_"))}
    process = subprocess.Popen(  # noqa: S603 (Python's own way to the browser that this user has chosen)
        [sys.executable, "-I", "-c", _OPEN, url],
        env=theirs,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is for this program
    )
    try:
        return process.wait(_SOON_S) == 0
    except subprocess.TimeoutExpired:
        return True
