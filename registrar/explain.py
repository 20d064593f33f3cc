"""The table of rules in words: what `registrar validate --explain` prints, made from the rules themselves.

Must never say of a rule what is not in the table.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from registrar.lint import Level, Rule
from registrar.markdown import table
from registrar.wording import machine


def rules_text(rules: Sequence[Rule]) -> str:
    """Each rule: id, level and title, and below them why, what to do, where it comes from, and whether it yields."""
    return "\n\n".join(_rule(rule) for rule in rules)


def rules_json(rules: Sequence[Rule]) -> str:
    """The same as a document."""
    keys = ("id", "title", "reason", "fix", "source", "otherwise")
    listed = [
        {**{key: getattr(rule, key) for key in keys}, "level": str(rule.level), "waivable": rule.waivable}
        for rule in rules
    ]
    return machine("rules", {"rules": listed})


def rules_markdown(rules: Sequence[Rule]) -> str:
    """The same as a table."""
    rows = [(rule.id, level(rule), rule.title, rule.reason, rule.fix, rule.source) for rule in rules]
    return "\n".join(table(("Rule", "Level", "Title", "Why", "What to do", "Source"), rows))


def level(rule: Rule) -> str:
    """The level in words, with the case in which it is the other one."""
    other = Level.ERROR if rule.level is Level.WARNING else Level.WARNING
    return f"{rule.level}; {other} {rule.otherwise}" if rule.otherwise else str(rule.level)


def _rule(rule: Rule) -> str:
    waive = f"# registrar: ignore[{rule.id}] reason, on the line of the value"
    if not rule.waivable:
        waive = "no, since it is an error"
    elif rule.level is Level.ERROR:
        waive += "; only where it is a warning"
    parts = {"why": rule.reason, "fix": rule.fix, "source": rule.source, "waive": waive}
    lines = [f"{rule.id}  {level(rule)}", f"  {rule.title}"]
    for name, text in parts.items():
        lines += textwrap.wrap(text, 100, initial_indent=f"    {name:<7} ", subsequent_indent=" " * 12)
    return "\n".join(lines)
