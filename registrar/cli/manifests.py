"""validate and schema: manifests alone, offline, and the contracts of what the other commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from registrar.cli import connection_options, examples
from registrar.cli.output import Format, data, document, findings_option, say, untrusted_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from registrar.errors import UsageError
    from registrar.findings import Report

_MANIFEST: Final = "manifest"


@examples(
    {
        "registrar validate": "Everything that registrar.yaml names, for each of its targets",
        "registrar validate manifests --fail-level warning": "These files alone, and warnings fail as well",
        "registrar validate --output sarif > findings.sarif": "For a code scanner, which shows them beside the lines",
        "registrar validate --explain RU017": "Why there is a rule, and what to do",
    }
)
@findings_option
@connection_options
@untrusted_option
@click.command()
@click.argument("paths", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "--fail-level", type=click.Choice(["error", "warning"]), default="error", show_default=True, help="What fails."
)
@click.option("--explain", metavar="ID", help="Tell what a rule such as RU009 is about, or `all` rules; check nothing.")
@click.option("--changed-since", metavar="REF", help="Judge only what differs from where git's REF was left.")
@click.pass_context
def validate(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    fail_level: str,
    explain: str | None,
    changed_since: str | None,
    output: Format,
    **flags: Any,
) -> int:
    """Check manifests, offline.

    Without --target they are checked for every target that registrar.yaml declares. A warning that is right where it
    stands is silenced by a comment on its line that has the reason: # registrar: ignore[RU007] why it is right.
    --changed-since still reads all manifests, since names and paths are unique among all, and tells what changed files
    make wrong in others.
    """
    if explain is not None:
        return _explain(explain, output, paths)
    import sys
    from pathlib import Path

    from registrar import config, manifest
    from registrar.cli.declared import manifest_paths
    from registrar.cli.flags import given, offline
    from registrar.errors import ManifestsInvalid
    from registrar.findings import Report

    said = given(ctx, flags)
    untrusted = bool(said.get("untrusted"))
    declared = config.target_names(said.get("config"), config.environment(), Path.cwd(), untrusted=untrusted)
    names = () if said.get("target") else declared
    chosen = [offline(ctx, {**flags, "target": name}) for name in names] or [offline(ctx, flags)]
    all_settings, colour = [settings for settings, _ in chosen], chosen[0][1]
    for remark in all_settings[0].remarks:
        say(remark)
    stdin = sys.stdin.buffer.read() if "-" in paths else b""
    first = all_settings[0]  # whose manifests, and names of targets, are those of all
    targets = [one.target for one in all_settings]
    loaded = manifest.load_each(manifest_paths(first, paths), targets, stdin=stdin, targets=first.known_targets)
    if changed_since is not None:
        from registrar.cli.since import narrowed

        loaded = narrowed(loaded, all_settings, changed_since)
    applications = {application.path: application for result in loaded for application in result.applications}
    report = Report(manifest.combined(loaded), tuple(applications.values()), loaded[0].files, fail_level)
    _print(report, output, colour=colour)
    return ManifestsInvalid.exit_code if report.failing else 0


def _print(report: Report, output: Format, *, colour: bool) -> None:
    """The findings in the format asked for; CI systems want paths as the repository has them."""
    from registrar import findings

    if output is Format.JSON:
        document(findings.document(report))
        return
    if output is Format.TEXT:
        data(findings.text(report, colour=colour))
        return
    from datetime import UTC, datetime
    from pathlib import Path

    from registrar import __version__, pages

    here = Path.cwd()
    root = next((above for above in (here, *here.parents) if (above / ".git").exists()), here)
    report = report.below(str(root), str(here))
    if output is Format.SARIF:
        data(pages.sarif(report, __version__))
    elif output is Format.JUNIT:
        data(pages.junit(report, datetime.now(UTC)))
    elif output is Format.MARKDOWN:
        data(pages.markdown(report))
    elif report.findings:
        data(pages.github(report))


def _explain(word: str, output: Format, paths: tuple[str, ...]) -> int:
    """Print one rule of the table, or all."""
    from registrar import explain
    from registrar.errors import UsageError
    from registrar.lint import RULES
    from registrar.wording import did_you_mean

    if paths:
        raise UsageError("--explain checks nothing, so it takes no PATH", hint=f"registrar validate --explain {word}")
    if word.lower() != "all" and word.upper() not in RULES:
        raise UsageError(f"there is no rule {word!r}", hint=f"{did_you_mean(word.upper(), RULES)}, or `all`")
    rules = tuple(RULES.values()) if word.lower() == "all" else (RULES[word.upper()],)
    if output is Format.JSON:
        document(explain.rules_json(rules))
    elif output is Format.MARKDOWN:
        data(explain.rules_markdown(rules))
    elif output is Format.TEXT:
        data(explain.rules_text(rules))
    else:
        raise UsageError("a rule is explained in text, json or markdown", hint=f"registrar validate --explain {word}")
    return 0


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

    from registrar import manifest, schemas
    from registrar.wording import table

    if listed:
        data("\n".join(table([(_MANIFEST, "what you write"), *schemas.KINDS.items()])))
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
