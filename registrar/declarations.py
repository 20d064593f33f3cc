"""registrar.yaml as it is written: its keys and values, read into what `targets` knows.

Owns the format of the file. Must never look at the environment, and never accept a secret, since the file is in git,
nor two targets whose records would lie in one another's folder.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Final

from registrar import document
from registrar.document import SIZE_LIMIT_BYTES, Node, Reader
from registrar.errors import UsageError
from registrar.lint import Level, ordered
from registrar.logins import AUTH_KEYS, METHODS
from registrar.model import FACT_LIMIT_BYTES
from registrar.targets import FILE_NAME, NORMAL, Declarations, Declared, folder
from registrar.wording import did_you_mean, quoted

_TEXTS: Final = ("set", "manifests", "contact", "default_target")


def read(file: Path, shown: str) -> Declarations:
    """Read a registrar.yaml, which messages call `shown`; a UsageError has everything that is wrong with it."""
    try:
        with file.open("rb") as stream:
            data = stream.read(SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}", hint="name another one with --config") from None
    reader = Reader(shown)
    root = reader.read(data, public=("login_client_id",))
    fields = reader.fields(root, (*_TEXTS, "targets"), FILE_NAME) if root else {}
    targets = _targets(reader, fields["targets"]) if "targets" in fields else {}
    texts = {key: _text(reader, fields[key], key) for key in _TEXTS if key in fields}
    default = texts.get("default_target", "")
    if default and default not in targets:
        hint = did_you_mean(default, targets)
        reader.report(f"there is no target {quoted(default)}", fields["default_target"], hint=hint)
    if errors := [finding for finding in ordered(reader.findings) if finding.level is Level.ERROR]:
        raise UsageError("\n".join(f"{finding}; {finding.hint}" for finding in errors), hint=f"edit {shown}")
    manifests = texts.get("manifests", "") or "manifests"
    return Declarations(targets, texts.get("set", ""), default, manifests, texts.get("contact", ""))


def _text(reader: Reader, node: Node, key: str) -> str:
    text = reader.string(node, key) or ""
    if not text.isprintable() or len(text.encode()) > FACT_LIMIT_BYTES:
        reader.report(f"{key} is not printable, or longer than {FACT_LIMIT_BYTES} bytes", node)
    return text


def _targets(reader: Reader, node: Node) -> dict[str, Declared]:
    nodes = reader.fields(node, None, "targets")
    targets = {name: _target(reader, target) for name, target in nodes.items()}
    for name in targets:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            reader.report(f"{quoted(name)} is no name for a target", nodes[name], hint="use letters, digits and -")
    for one, other in combinations(targets, 2):
        if targets[one].location.overlaps(targets[other].location):
            reader.report(
                f"the targets {quoted(one)} and {quoted(other)} would keep their records in one folder",
                nodes[other],
                hint="give each a vault_prefix of its own, neither inside the other",
            )
    return targets


def _target(reader: Reader, node: Node) -> Declared:
    fields = reader.fields(node, (*NORMAL, "vault_auth", "allowed_hosts", "production"), "a target")
    values: dict[str, str] = {}
    for key, normal in NORMAL.items():
        text = reader.string(fields[key], key) if key in fields else None
        if text is not None:
            try:
                values[key] = normal(text)
            except ValueError as error:
                reader.report(f"{key} {error}", fields[key])
    hosts = reader.items(fields["allowed_hosts"], "allowed_hosts") if "allowed_hosts" in fields else []
    production = reader.boolean(fields["production"], "production") if "production" in fields else False
    names = tuple(name for host in hosts if (name := reader.string(host, "a host of allowed_hosts")))
    auth = _vault_auth(reader, fields["vault_auth"]) if "vault_auth" in fields else {}
    return Declared(values, auth, names, bool(production))


def _vault_auth(reader: Reader, node: Node) -> dict[str, str]:
    fields = reader.fields(node, sorted({key for keys in AUTH_KEYS.values() for key in keys}), "vault_auth")
    found = {key: _text(reader, fields[key], key) for key in fields}
    method = found.get("method")
    if method is None and isinstance(node, document.Mapping):
        reader.report("vault_auth has no method", node, hint=f"method: {'|'.join(METHODS)}")
    elif method is not None and method not in METHODS:
        hint = did_you_mean(method, METHODS)
        reader.report(f"there is no Vault login by {quoted(method)}", fields["method"], hint=hint)
    for key in found:
        if method in METHODS and key not in AUTH_KEYS[method]:
            known = ", ".join(AUTH_KEYS[method])
            reader.report(f"{key} says nothing to a Vault login by {method}", fields[key], hint=f"known are: {known}")
    if "mount" in found:
        try:
            found["mount"] = folder(found["mount"])
        except ValueError as error:
            reader.report(f"mount {error}", fields["mount"])
    return found
