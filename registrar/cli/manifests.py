"""validate and schema: manifests alone, offline, and the contracts of what the other commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from registrar.cli import connection_options, examples
from registrar.cli.output import Format, data, document, output_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from registrar.errors import UsageError

_MANIFEST: Final = "manifest"


@examples(
    {
        "registrar validate": "Everything that registrar.yaml names, for each of its targets",
        "registrar validate manifests --fail-level warning": "These files alone, and warnings fail as well",
    }
)
@output_option
@connection_options
@click.command()
@click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "--fail-level", type=click.Choice(["error", "warning"]), default="error", show_default=True, help="What fails."
)
@click.pass_context
def validate(ctx: click.Context, /, paths: tuple[str, ...], fail_level: str, output: Format, **flags: Any) -> int:
    """Check manifests, offline.

    Without --target they are checked for every target that registrar.yaml declares.
    """
    import sys

    from registrar import manifest, render
    from registrar.cli.connection import manifest_paths, offline
    from registrar.errors import ManifestsInvalid

    settings, colour = offline(ctx, flags)
    names = settings.targets if not flags["target"] and not (ctx.obj or {}).get("target") else ()
    all_settings = [offline(ctx, {**flags, "target": name})[0] for name in names] or [settings]
    stdin = sys.stdin.buffer.read() if "-" in paths else b""
    loaded = [
        manifest.load(manifest_paths(one, paths), one.target, stdin=stdin, targets=one.known_targets)
        for one in all_settings
    ]
    findings = sorted({finding for result in loaded for finding in result.findings}, key=lambda found: found.place)
    applications = len({application.path for result in loaded for application in result.applications})
    if output is Format.JSON:
        document(render.findings_json(findings, applications, loaded[0].files))
    else:
        data(render.findings_text(findings, applications, len(loaded[0].files), colour=colour))
    failing = [finding for finding in findings if fail_level == "warning" or finding.level == "error"]
    return ManifestsInvalid.exit_code if failing else 0


def _kinds(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    from click.shell_completion import CompletionItem

    from registrar.schemas import KINDS

    known = {_MANIFEST: "what you write", **KINDS}
    return [CompletionItem(kind, help=told) for kind, told in known.items() if kind.startswith(incomplete)]


@examples(
    {
        "registrar schema > manifest.schema.json": "For an editor that completes and checks manifests",
        "registrar schema plan": "What `registrar plan --output json` prints",
    }
)
@click.command()
@click.argument("kind", default=_MANIFEST, metavar="[KIND]", shell_complete=_kinds)
@click.option("--list", "listed", is_flag=True, help="Name the kinds, and the commands that print them.")
def schema(*, kind: str, listed: bool) -> None:
    """Print the JSON Schema of a manifest, or of what --output json prints.

    That of a manifest is for editors. KIND is the `kind` of a document of --output json: every member that its schema
    requires is always there; others may come, and are to be ignored. What is not compatible raises its schema_version.
    """
    import json

    from registrar import manifest, render, schemas

    if listed:
        data("\n".join(render.table([(_MANIFEST, "what you write"), *schemas.KINDS.items()])))
        return
    if kind != _MANIFEST and kind not in schemas.KINDS:
        raise _no_kind(kind, [_MANIFEST, *schemas.KINDS])
    found = manifest.schema() if kind == _MANIFEST else schemas.schema(kind)
    data(json.dumps(found, indent=2, ensure_ascii=False))


def _no_kind(kind: str, kinds: list[str]) -> UsageError:
    import difflib

    from registrar.errors import UsageError

    near = difflib.get_close_matches(kind, kinds, n=1)
    hint = f"did you mean `registrar schema {near[0]}`?" if near else "registrar schema --list names them"
    return UsageError(f"there is no kind of document called {kind!r}", hint=hint)
