"""The rules for a file as a whole: reading it checks them, so that here they are words alone.

Must never have a check: what a manifest means is known only once it has been read.
"""

from __future__ import annotations

from registrar.lint.finding import Level
from registrar.lint.rule import ENTERED, Rule

ENTERED["MF001"] = Rule(
    "MF001",
    Level.ERROR,
    "The file is YAML that means one thing",
    reason="An unknown key, a key written twice or a number for a name is a typo that would silently change a plan.",
    fix="see `registrar schema`",
    source="YAML 1.1 and 1.2, where they agree",
)

ENTERED["MF002"] = Rule(
    "MF002",
    Level.ERROR,
    "Nothing looks like a secret",
    reason="Manifests are in git, and git never forgets.",
    fix="remove it, and revoke it, since it has been seen; credentials belong in Vault",
    source="CWE-540",
    otherwise="inside a URL",
)

ENTERED["MF003"] = Rule(
    "MF003",
    Level.WARNING,
    "A waiver silences something",
    reason="One that outlives its cause silences the next finding on its line, which nobody has looked at.",
    fix="remove the waiver, or put it on the line of the value that it is about",
    source="registrar: waivers",
)

ENTERED["MF004"] = Rule(
    "MF004",
    Level.ERROR,
    "A waiver names its rules and its reason",
    reason="Whoever reviews it has to know why, and so does whoever finds it years later.",
    fix="write it as `# registrar: ignore[RU007] why that is right here`",
    source="registrar: waivers",
)
