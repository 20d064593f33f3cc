"""The HTTP face of Vault: paths, methods and headers to logical calls and back, and who may make them.

Every request is one transaction of the state, so what is checked still holds when it is written, in all processes.
"""

from __future__ import annotations

import base64
import html
import posixpath
import secrets
import sqlite3
import time
import uuid
from collections.abc import Mapping
from email.message import Message
from typing import Any
from urllib.parse import quote

from registrar.sandbox.http import Answer, Request
from registrar.sandbox.state import State
from registrar.sandbox.vault import golang, kv1, kv_store, mounts, policy, seal, tokens
from registrar.sandbox.vault.golang import Malformed
from registrar.sandbox.vault.kv1 import KV1
from registrar.sandbox.vault.kv2 import KV2
from registrar.sandbox.vault.logical import Engine, Operation, Placeholder, Refused, Reply, denied, respond
from registrar.sandbox.vault.mounts import Mount, Mounts
from registrar.sandbox.vault.seal import Seal
from registrar.sandbox.vault.system import System
from registrar.sandbox.vault.token_auth import TokenAuth
from registrar.sandbox.vault.tokens import Token, Tokens

_TABLES = (*mounts.TABLES, *kv_store.TABLES, *kv1.TABLES, *tokens.TABLES, *seal.TABLES)
_HEADERS = {"cache-control": "no-store", "strict-transport-security": "max-age=31536000; includeSubDomains"}
_JSON = {**_HEADERS, "content-type": "application/json"}
_MERGE_PATCH = "application/merge-patch+json"
_METHODS: dict[str, Operation] = {
    "GET": "read",
    "LIST": "list",
    "SCAN": "scan",
    "POST": "write",
    "PUT": "write",
    "PATCH": "patch",
    "DELETE": "delete",
}
_OPEN_TO_ALL = {
    "sys/health": ("GET", "HEAD"),
    "sys/init": ("GET",),
    "sys/leader": ("GET",),
    "sys/seal": ("POST", "PUT"),  # to all once it is sealed
    "sys/seal-status": ("GET",),
    "sys/unseal": ("POST", "PUT"),
}


class Vault:
    """OpenBao in development mode with KV version 2 at `secret`; its root token and unseal key are made once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.root_token = state.setting("vault-root-token", f"s.{tokens.random_id()}")
        self.unseal_key = state.setting("vault-unseal-key", base64.b64encode(secrets.token_bytes(32)).decode())
        self._cluster_id = state.setting("vault-cluster-id", str(uuid.uuid4()))
        with state.transaction() as db:
            for table in _TABLES:
                db.execute(table)
            if Mounts(db).is_empty():
                first = Tokens(db, time.time_ns())
                Mounts(db).add_first()
                first.add_root(self.root_token)
                first.write_policy("default", policy.DEFAULT)
                db.execute("INSERT INTO vault_seal VALUES (FALSE)")

    def __call__(self, request: Request) -> Answer:
        answer = _cleaned(request) or self._answer(request)
        namespace = request.headers.get("x-vault-namespace")
        if not namespace:
            return answer
        return Answer(answer.status, answer.body, {**answer.headers, "x-vault-namespace": namespace})

    def _answer(self, request: Request) -> Answer:
        with self._state.transaction() as db:
            # A refusal is an answer, not a fault: what the token has used up stays used up.
            try:
                path = _path(request)
                seal = Seal(db, self.unseal_key, self._cluster_id)
                return _outside(seal, request, path) or _logical(db, seal, request, path)
            except Refused as refused:
                return _json({"errors": refused.errors}, refused.status)


def _path(request: Request) -> str:
    if not request.path.startswith("/v1/"):
        raise Refused(status=404)
    return request.path.removeprefix("/v1/")


def _outside(seal: Seal, request: Request, path: str) -> Answer | None:
    """What is answered without a token, sealed or not."""
    allowed = _OPEN_TO_ALL.get(path)
    if allowed is None:
        return None
    if request.method not in allowed:
        raise Refused(status=405)
    if path == "sys/health":
        return _health(seal, request)
    if path == "sys/seal":
        return Answer(204, b"", _JSON) if seal.is_closed else None
    if path == "sys/unseal":
        seal.open(_members(request.body))
    bodies: dict[str, dict[str, Any]] = {"sys/init": {"initialized": True}, "sys/leader": {"ha_enabled": False}}
    return _json(bodies.get(path) or seal.status())


def _health(seal: Seal, request: Request) -> Answer:
    if request.headers.get("x-vault-namespace"):
        raise Refused("operation unavailable in namespaces")
    wish = dict(request.query).get("sealedcode" if seal.is_closed else "activecode", "")
    usual = 503 if seal.is_closed else 200
    return _json(seal.health(), int(wish) if wish.isdecimal() else usual)


def _logical(db: sqlite3.Connection, seal: Seal, request: Request, path: str) -> Answer:
    """Answer one operation on a path, if its token may."""
    operation, given = _operation(request)
    if operation in ("list", "scan") and not path.endswith("/"):
        path += "/"
    _check_path(seal, request, operation, path)
    now = time.time_ns()
    known = Tokens(db, now)
    named = _named_token(request)
    token = known.use(named)
    is_preflight = operation == "read" and (path + "/").startswith("sys/internal/ui/mounts/")
    if token is None and (named or path != "sys/internal/ui/mounts"):
        raise Refused("permission denied", 403)
    mount = Mounts(db).serving(path)
    engine = _engine(db, mount, known, token, now)
    below = path[len(mount.path) :] if mount else ""
    try:
        if token and not is_preflight:  # that one looks for itself
            _authorize(known, token, operation, path, exists=engine.exists(below))
        if mount is None:
            raise Refused(f"no handler for route {golang.quoted(path)}. route entry not found.", 404)
        if path == "sys/seal":
            seal.close()
            return Answer(204, b"", _JSON)
        return _rendered(respond(engine, operation, below, given))
    finally:
        if token:
            known.finish(token)


def _check_path(seal: Seal, request: Request, operation: Operation, path: str) -> None:
    if ".." in path.split("/"):
        raise Refused("relative paths not supported")
    if seal.is_closed:
        raise Refused("Vault is sealed", 503)
    if request.headers.get("x-vault-namespace", "").strip("/") not in ("", "root"):
        raise Refused("namespace not found", 404)
    if operation in ("write", "patch") and path.endswith("/"):
        raise Refused("cannot write to a path ending in '/'")


def _engine(db: sqlite3.Connection, mount: Mount | None, known: Tokens, token: Token | None, now: int) -> Engine:
    if mount and mount.kind == "kv":
        is_versioned = mount.options is not None and mount.options.get("version") == "2"
        return KV2(kv_store.Store(db, mount.id, now)) if is_versioned else KV1(db, mount.id)
    if mount and mount.kind == "system":
        return System(Mounts(db), known, token)
    if mount and mount.kind == "token" and token:
        return TokenAuth(known, token, now)
    return Placeholder()


def _authorize(known: Tokens, token: Token, operation: Operation, path: str, *, exists: bool) -> None:
    if "root" in token.policies:
        return
    needed: set[str] = {"update" if exists else "create"} if operation == "write" else {operation}
    if path == "sys/seal":
        needed.add("sudo")
    if not needed <= known.acl(token).capabilities(path):
        raise denied()


def _named_token(request: Request) -> str:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return request.headers.get("x-vault-token", "") or (bearer.strip() if scheme == "Bearer" else "")


def _operation(request: Request) -> tuple[Operation, Mapping[str, Any]]:
    """The operation, and the fields of the body where it writes, of the query where it does not."""
    operation = _METHODS.get(request.method)
    if operation is None:
        raise Refused(status=405)
    if operation == "patch":
        _check_patch(request.headers.get("content-type", ""))
    if operation in ("write", "patch"):
        return operation, _members(request.body)
    query = dict(request.query)
    for name in ("scan", "list"):
        try:
            wanted = golang.boolean(query.pop(name, "") or "false")
        except Malformed:
            raise Refused from None
        if wanted and request.method == "GET":
            operation = _METHODS[name.upper()]
    return operation, query


def _check_patch(header: str) -> None:
    if not header:
        raise Refused("mime: no media type")
    message = Message()
    message["content-type"] = header
    if message.get_content_type() != _MERGE_PATCH:
        raise Refused(f"PATCH requires Content-Type of {_MERGE_PATCH}, provided {header}", 415)


def _members(body: bytes) -> dict[str, Any]:
    try:
        value = golang.decode(body)
    except Malformed as error:
        raise Refused(f"failed to decode JSON input: {error}") from None
    if value is not None and not isinstance(value, dict):
        kind = {"json.Number": "number", "[]interface {}": "array"}.get(golang.kind_of(value), golang.kind_of(value))
        text = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        raise Refused(f"failed to decode JSON input: {text}")
    return value or {}


def _rendered(reply: Reply | None) -> Answer:
    if reply is None:
        return Answer(204, b"", _JSON)
    if reply.raw and reply.data is None and not reply.warnings:
        return Answer(reply.status, b"", _JSON)
    envelope = {
        "request_id": str(uuid.uuid4()),
        "lease_id": "",
        "renewable": False,
        "lease_duration": reply.lease_duration,
        "data": reply.data,
        "wrap_info": None,
        "warnings": list(reply.warnings) or None,
        "auth": reply.auth,
    }
    beside = reply.data if reply.on_top and reply.data else {}
    return Answer(reply.status, golang.encode({**beside, **envelope}, newline=not reply.raw), _JSON)


def _json(body: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, golang.encode(body), _JSON)


def _cleaned(request: Request) -> Answer | None:
    """The answer to a path that Go's router cleans or Vault does not read at all."""
    if not request.path.isprintable():
        return Answer(400, b"", _HEADERS)
    if not request.raw_path.startswith("/v1/"):
        return None
    clean = posixpath.normpath(request.raw_path) + "/" * request.raw_path.endswith("/")
    if clean == request.raw_path:
        return None
    # The router cleans the path as it was sent, escapes and all, and escapes the result once more.
    location = quote(clean, safe="/:;@&=+$,~")
    if request.query_string:
        location += f"?{request.query_string}"
    headers = {**_HEADERS, "location": location}
    if request.method != "GET":
        return Answer(307, b"", headers)
    body = f'<a href="{html.escape(location)}">Temporary Redirect</a>.\n\n'.encode()
    return Answer(307, body, {**headers, "content-type": "text/html; charset=utf-8"})
