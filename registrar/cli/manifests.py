"""validate and schema: manifests alone, offline."""

from __future__ import annotations

from typing import Any

import click

from registrar.cli import connection_options
from registrar.cli.output import Format, data, document, output_option, say, untrusted_option


@output_option
@connection_options
@untrusted_option
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
    for remark in settings.remarks:
        say(remark)
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


@click.command()
def schema() -> None:
    """Print the JSON Schema of a manifest, for editors."""
    import json

    from registrar import manifest

    data(json.dumps(manifest.schema(), indent=2))
