"""KV version 2 as Vault mounts it: its paths, their fields and their answers, over the store of its keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from registrar.sandbox.vault import custom_metadata, fields
from registrar.sandbox.vault.fields import Kind
from registrar.sandbox.vault.folders import children, descendants
from registrar.sandbox.vault.golang import Malformed
from registrar.sandbox.vault.kv_store import Key, Store, Version, config_facts
from registrar.sandbox.vault.logical import Call, Operation, Refused, Reply, Route, absent, occurred

_SETTINGS: dict[str, Kind] = {
    "max_versions": "integer",
    "cas_required": "flag",
    "metadata_cas_required": "flag",
}
_DATA: dict[str, Kind] = {"data": "map", "options": "map", "version": "integer"}
_METADATA: dict[str, Kind] = {
    **_SETTINGS,
    "delete_version_after": "positive seconds",
    "custom_metadata": "map",
    "metadata_cas": "integer",
    "after": "text",
    "limit": "integer",
}
_VERSIONS: dict[str, Kind] = {"versions": "integers"}
_CONFIG: dict[str, Kind] = {**_SETTINGS, "delete_version_after": "seconds"}
_COMMAND: dict[Operation, str] = {
    "read": "get",
    "list": "list",
    "scan": "scan",
    "write": "put",
    "patch": "patch",
    "delete": "delete",
}


class KV2:
    """The keys of one mount over their store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> Sequence[Route]:
        return (
            Route("config", {"read": self._read_config, "write": self._write_config}, _CONFIG),
            Route(
                "data/(.*)",
                {"read": self._read, "write": self._write, "patch": self._patch, "delete": self._delete_current},
                _DATA,
                has_existence_check=True,
            ),
            Route(
                "metadata/(.*)",
                {
                    "read": self._read_metadata,
                    "write": self._write_metadata,
                    "patch": self._patch_metadata,
                    "delete": self._delete_key,
                    "list": self._list,
                    "scan": self._scan,
                },
                _METADATA,
                has_existence_check=True,
            ),
            Route(
                "detailed-metadata/(.*)",
                {"list": self._list_detailed, "scan": self._scan_detailed},
                {"after": "text", "limit": "integer"},
            ),
            Route("delete/(.*)", {"write": self._delete}, _VERSIONS),
            Route("undelete/(.*)", {"write": self._undelete}, _VERSIONS),
            Route("destroy/(.*)", {"write": self._destroy}, _VERSIONS),
            Route("subkeys/(.*)", {"read": self._subkeys}, {"version": "integer", "depth": "integer"}),
            Route("(.*)", dict.fromkeys(_COMMAND, self._invalid)),
        )

    def exists(self, path: str) -> bool:
        section, _, name = path.partition("/")
        return section not in ("data", "metadata") or self._store.key(name) is not None

    def _invalid(self, call: Call) -> Reply:
        if call.path in ("metadata", "data", "delete", "undelete", "destroy"):
            warning = "Non-listing operations on the root of a K/V v2 mount are not supported."
        else:
            warning = (
                "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints"
                f" to use. If using the OpenBao CLI, use 'bao kv {_COMMAND[call.operation]}' for this operation."
            )
        return Reply(warnings=[warning], status=404, raw=True)

    def _read_config(self, _call: Call) -> Reply:
        return Reply(config_facts(self._store.config()))

    def _write_config(self, call: Call) -> None:
        self._store.configure(call.fields)

    def _read(self, call: Call) -> Reply:
        key, version = self._found(call)
        gone = version.is_gone(self._store.now)
        data = {"data": None if gone else version.data, "metadata": _facts(key, version)}
        return Reply(data, status=404, raw=True) if gone else Reply(data)

    def _found(self, call: Call) -> tuple[Key, Version]:
        """The version that is asked for; the current one where none, or none above 0, is."""
        key = self._store.key(call.path)
        if key is None:
            raise absent()
        number = call.fields.get("version", 0)
        version = self._store.version(key, number if number > 0 else key.current_version)
        if version is None:
            raise absent()
        return key, version

    def _write(self, call: Call) -> Reply:
        if "data" not in call.fields:
            raise Refused("no data provided")
        self._store.check(call.path, _cas(call))
        key, version = self._store.add(call.path, call.fields["data"])
        return Reply(_facts(key, version))

    def _patch(self, call: Call) -> Reply:
        if "data" not in call.fields:
            raise Refused("no data provided")
        key = self._store.key(call.path)
        current = self._store.version(key, key.current_version) if key else None
        if key is None or current is None:
            return Reply(status=404, raw=True)
        self._store.check(call.path, _cas(call))
        if current.is_gone(self._store.now):
            return Reply(_facts(key, current), status=404, raw=True)
        if current.data is None:
            raise Refused(occurred("resource does not exist"), 500)
        change = call.fields["data"]
        key, version = self._store.add(call.path, None if change is None else _merged(current.data, change))
        return Reply(_facts(key, version))

    def _delete_current(self, call: Call) -> None:
        self._store.delete(call.path)

    def _delete(self, call: Call) -> None:
        self._store.delete(call.path, _numbers(call, "No version number provided"))

    def _undelete(self, call: Call) -> None:
        self._store.undelete(call.path, _numbers(call, "No version number provided"))

    def _destroy(self, call: Call) -> None:
        self._store.destroy(call.path, _numbers(call, "no version number provided"))

    def _read_metadata(self, call: Call) -> Reply:
        key = self._store.key(call.path)
        if key is None:
            raise absent()
        return Reply(self._store.facts(key))

    def _write_metadata(self, call: Call) -> None:
        changes = _changes(call)
        custom = changes.get("custom_metadata")
        if custom is not None:
            changes["custom_metadata"] = custom_metadata.written(custom)
        if changes:  # nothing to change makes no key and is not asked for its cas
            self._store.check_metadata(call.path, call.fields.get("metadata_cas"))
            self._store.write_metadata(call.path, changes)

    def _patch_metadata(self, call: Call) -> Reply | None:
        changes = _changes(call)
        key = self._store.key(call.path)
        if key is None:
            return Reply(status=404, raw=True)
        custom = changes.get("custom_metadata")
        if custom is not None:
            changes["custom_metadata"] = custom_metadata.patched(key.custom_metadata or {}, custom)
        if changes:
            self._store.check_metadata(call.path, call.fields.get("metadata_cas"))
            self._store.write_metadata(call.path, changes)
        return None

    def _delete_key(self, call: Call) -> None:
        self._store.delete_key(call.path)

    def _list(self, call: Call) -> Reply:
        return Reply({"keys": self._names(call)})

    def _names(self, call: Call) -> list[str]:
        limit = call.fields.get("limit", 0)
        found = children(self._store.paths, call.path, call.fields.get("after", ""))
        names = list(islice(found, limit) if limit > 0 else found)
        if not names:
            raise absent()
        return names

    def _scan(self, call: Call) -> Reply:
        names = list(descendants(self._store.paths, call.path))
        return Reply({"keys": names} if names else {})

    def _list_detailed(self, call: Call) -> Reply:
        names = self._names(call)
        return Reply({"key_info": {name: self._info(call.path + name) for name in names}, "keys": names})

    def _scan_detailed(self, call: Call) -> Reply:
        names = list(descendants(self._store.paths, call.path))
        info = {name: self._info(call.path + name) for name in names}
        return Reply({"key_info": info, "keys": names} if names else {})

    def _info(self, path: str) -> dict[str, Any]:
        key = self._store.key(path)
        return self._store.facts(key) if key else {}

    def _subkeys(self, call: Call) -> Reply:
        key, version = self._found(call)
        gone = version.is_gone(self._store.now)
        data = None if gone else version.data
        answer = {
            "metadata": _facts(key, version),
            "subkeys": None if data is None else _outline(data, call.fields.get("depth", 0)),
        }
        return Reply(answer, status=404, raw=True) if gone else Reply(answer)


def _facts(key: Key, version: Version) -> dict[str, Any]:
    return {**version.facts(), "custom_metadata": key.custom_metadata, "version": version.number}


def _cas(call: Call) -> int | None:
    """The version a write insists on; null counts as 0, and only a missing one does not guard."""
    options = call.fields.get("options") or {}
    if "cas" not in options:
        return None
    try:
        return fields.integer(options["cas"])
    except Malformed:
        raise Refused("error parsing check-and-set parameter") from None


def _numbers(call: Call, complaint: str) -> list[int]:
    numbers: list[int] = call.fields.get("versions", [])
    if not numbers:
        raise Refused(complaint)
    return numbers


def _changes(call: Call) -> dict[str, Any]:
    """The metadata a write names."""
    names = (*_SETTINGS, "custom_metadata", "delete_version_after")
    return {name: call.fields[name] for name in names if name in call.fields}


def _merged(before: Any, change: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    merged = dict(before) if isinstance(before, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _outline(data: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """The keys of data down to `depth`, 0 being all, without one value."""
    if depth == 1 or depth < 0:
        return dict.fromkeys(data)
    below = max(depth - 1, 0)
    return {name: _outline(value, below) if isinstance(value, dict) and value else None for name, value in data.items()}
