"""flow: the whole authorization code flow from a developer's machine, each step shown as it happens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from registrar.cli import connection_options, examples
from registrar.cli.completion import applications
from registrar.cli.output import Format, data, document, output_option, say

if TYPE_CHECKING:
    from registrar.cli.connection import Connection
    from registrar.client import Client
    from registrar.flow import Told, Visit


@examples(
    {
        "registrar flow viewer": "In a browser on this machine, where the redirect URI is too",
        "registrar flow viewer --paste": "In any browser; its last address is typed in here",
    }
)
@output_option
@connection_options
@click.command()
@click.argument("name", shell_complete=applications)
@click.option("--no-browser", is_flag=True, help="Print the link, and open no browser.")
@click.option("--paste", is_flag=True, help="Ask for the address that the browser ends at, and listen on nothing.")
@click.option("--call", default="/users/current", show_default=True, metavar="PATH", help="Endpoint to try; '': none.")
@click.option("--expiration", type=click.IntRange(min=1), metavar="MINUTES", help="Life of the token; Nexus: 480.")
@click.option("--show-token", is_flag=True, help="Print the token, and let it live.")
@click.option(
    "--wait", type=click.FloatRange(min=0, min_open=True), default=300.0, show_default=True, metavar="SECONDS",
    help="For the sign-in in the browser.",
)  # fmt: skip
@click.pass_context
def flow(
    ctx: click.Context,
    /,
    name: str,
    no_browser: bool,
    paste: bool,
    call: str,
    expiration: int | None,
    show_token: bool,
    wait: float,
    output: Format,
    **flags: Any,
) -> int:
    """Sign in to an application, and see every step of the flow.

    It takes the application's place: it listens on the redirect URI, so that has to be on this machine, and free. Where
    it is not, --paste asks for the address that the browser ends at. The API key that the exchange leaves in Nexus is
    deleted at the end, and the token with it.
    """
    from registrar import flowing
    from registrar.cli.connection import Connection, Opening
    from registrar.cli.fetched import fetch
    from registrar.config import Need
    from registrar.flow import Flow

    steps: list[Told] = []

    def tell(step: Told) -> None:
        steps.append(step)
        say(flowing.step_text(len(steps), step))

    with Opening(ctx, flags) as opening:
        settings = opening.settings(Need.BOTH)
        connection = Connection(settings, opening.vault(settings), None, None, opening.colour, opening.verbose)
        client = _here(fetch(connection, name), connection)
        with _visiting(client, paste=paste, browser=not no_browser, wait_s=wait) as visit:
            proof, handshake = opening.proof(settings), opening.handshake(settings)
            outcome = Flow(client, proof, handshake, visit, tell, expiration, call, keep=show_token).run()
    token = outcome.token.access.reveal() if show_token else None
    if output is Format.JSON:
        document(flowing.outcome_json(client, steps, outcome, token))
    else:
        data(flowing.outcome_text(client, outcome, token))
    return 0 if outcome.called is None or outcome.called.ok else 1


def _here(client: Client, connection: Connection) -> Client:
    """The client at this target's Nexus; the secret is sent nowhere else, whatever the record says."""
    from registrar.client import authorize_url, exchange_url
    from registrar.errors import StepFailed

    target, url = connection.target, connection.settings.nexus.url
    if client.nexus != target.nexus_url:
        told = f"its record was made for {client.nexus}, this target is {target.nexus_url}"
        raise StepFailed(told, hint="check --target, or NEXUS_URL", application=client.name)
    if url != target.nexus_url:  # the sandbox may serve on other ports than it had first
        return replace(client, authorize_url=authorize_url(url), exchange_url=exchange_url(url))
    return client


@contextlib.contextmanager
def _visiting(client: Client, *, paste: bool, browser: bool, wait_s: float) -> Iterator[Visit]:
    """How a person visits the link: a browser on this machine, or any that they paste from."""
    if paste or not client.redirect_uri:
        yield _pasted
        return
    from registrar.callback import listening
    from registrar.cli.browsing import opened
    from registrar.flowing import INDENT

    with listening(client.redirect_uri) as listener:

        def visit(url: str, judge: Callable[[str], object]) -> str:
            listener.expect(judge, lambda told: say(f"{INDENT}{told}; still waiting"))
            if browser and opened(url):
                say(f"{INDENT}Your browser has the link: sign in there. Waiting for it to come back…")
            else:
                say(f"{INDENT}Open this in a browser on this machine:\n\n{url}\n")
            return listener.wait(wait_s)

        yield visit


def _pasted(url: str, judge: Callable[[str], object]) -> str:
    """The address that somebody copies out of the browser: hidden, since it holds a code."""
    from registrar.flow import ForeignCallback

    say(f"Open this in any browser:\n\n{url}\n")
    say("It ends at the redirect URI, on a page that may be an error. Copy the whole address from there.")
    while True:
        pasted = click.prompt("Address", hide_input=True, prompt_suffix=": ", err=True).strip()
        try:
            judge(pasted)
        except ForeignCallback as error:
            say(f"{error.message}; try again")
            continue
        return str(pasted)
