"""sandbox: the stand-ins in the foreground, for a browser, a second terminal, `vault` or curl."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import examples
from registrar.cli.output import data, say

if TYPE_CHECKING:
    from registrar.sandbox import Sandbox

# spelt again, since importing the sandbox for a --help would cost more than the whole command
_STAGES = ("v1", "v1-deprecated", "v2", "v2-array")


@examples(
    {
        "registrar sandbox": "The stand-ins that --sandbox uses, for more than one command",
        "registrar sandbox --nexus v1 --state :memory:": "An older Nexus, with nothing kept",
    }
)
@click.command()
@click.option(
    "--nexus", "stage", type=click.Choice(_STAGES), default="v2", show_default=True, help="Generation of the server."
)
@click.option(
    "--nexus-port", type=click.IntRange(0, 65535), metavar="PORT", help="0: any free one. Default: as before."
)
@click.option(
    "--vault-port", type=click.IntRange(0, 65535), metavar="PORT", help="0: any free one. Default: as before."
)
@click.option(
    "--state", type=click.Path(), metavar="FILE", help="SQLite file, or :memory:. Default: the one that --sandbox uses."
)
@click.option(
    "--latency", type=click.FloatRange(min=0), default=0.0, metavar="MS", help="How long every answer takes at least."
)
def sandbox(stage: str, nexus_port: int | None, vault_port: int | None, state: str | None, latency: float) -> int:
    """Serve Nexus and Vault stand-ins on loopback until Ctrl-C.

    The first line on stdout is JSON with all addresses and keys.
    """
    import gc
    import signal
    import threading

    from registrar import config

    gc.set_threshold(100_000, 20, 20)  # it stays open
    path = state or config.sandbox_state(config.environment())
    running = started(path, stage=stage, nexus_port=nexus_port, vault_port=vault_port, latency_s=latency / 1000)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    data(running.ready())
    say(f"Nexus and Vault stand-ins; state in {path}. Ctrl-C ends them.")
    say(f"Users sign in at {running.nexus_url}, in a browser. In another terminal:\n")
    for name, value in (
        ("NEXUS_URL", running.nexus_url),
        ("NEXUS_API_KEY", running.sysadmin.api_key),
        ("NEXUS_API_SECRET", running.sysadmin.api_secret),
        ("VAULT_ADDR", running.vault_addr),
        ("VAULT_TOKEN", running.vault_token),
    ):
        say(f"export {name}={value}")
    over.wait()
    running.close()
    return 0


def started(path: str | Path, **options: Any) -> Sandbox:
    """The stand-ins with this state; a UsageError says what is in their way."""
    import sqlite3

    from registrar.errors import UsageError

    try:
        from registrar.sandbox import start
    except ImportError:
        raise UsageError("the sandbox is not installed", hint="pip install 'nexus-registrar[sandbox]'") from None
    try:
        return start(path, **options)
    except (OSError, sqlite3.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        about_state = isinstance(error, sqlite3.Error) or error.filename is not None
    if about_state:
        raise UsageError(f"the sandbox cannot keep its state in {path}: {reason}", hint="name a file with --state")
    ports = [f"port {options[name]}" for name in ("nexus_port", "vault_port") if options.get(name)]
    told = f"the sandbox cannot listen on {' and '.join(ports) or 'loopback'}: {reason}"
    raise UsageError(told, hint="registrar sandbox --nexus-port 0 --vault-port 0, for any that are free")
