"""sys/: mounts, policies and capabilities, as far as a client of KV needs them."""

from __future__ import annotations

from collections.abc import Sequence

from registrar.sandbox.vault import policy
from registrar.sandbox.vault.golang import timestamp
from registrar.sandbox.vault.logical import Call, Refused, Reply, Route, absent, occurred
from registrar.sandbox.vault.mounts import Mounts
from registrar.sandbox.vault.tokens import Token, Tokens


class System:
    """sys/ as one token sees it; without a token there is only the list of mounts, and that is empty."""

    def __init__(self, mounts: Mounts, tokens: Tokens, token: Token | None) -> None:
        self._mounts = mounts
        self._tokens = tokens
        self._token = token
        self._acl = tokens.acl(token) if token else policy.Acl(())
        self._is_root = token is not None and "root" in token.policies

    def routes(self) -> Sequence[Route]:
        return (
            Route("internal/ui/mounts", {"read": self._visible_mounts}),
            Route("internal/ui/mounts/(.+)", {"read": self._visible_mount}),
            Route("mounts", {"read": self._list_mounts}),
            Route(
                "mounts/(.+?)/?",
                {"read": self._read_mount, "write": self._enable, "delete": self._disable},
                {"type": "text", "description": "text", "options": "map", "config": "map"},
            ),
            Route("policies/acl/?", {"list": self._list_policies}),
            Route(
                "policies/acl/(.+)",
                {"read": self._read_policy, "write": self._write_policy, "delete": self._delete_policy},
                {"policy": "text"},
            ),
            Route("capabilities-self", {"write": self._capabilities}, {"paths": "texts", "path": "texts"}),
        )

    def exists(self, _path: str) -> bool:
        return True

    def _visible_mounts(self, _call: Call) -> Reply:
        seen = [mount for mount in self._mounts.all() if self._sees(mount.path)]
        auth = {mount.path.removeprefix("auth/"): mount.facts() for mount in seen if mount.path.startswith("auth/")}
        rest = {mount.path: mount.facts() for mount in seen if not mount.path.startswith("auth/")}
        return Reply({"auth": auth, "secret": rest})

    def _visible_mount(self, call: Call) -> Reply:
        path = call.path.strip("/") + "/"
        mount = self._mounts.serving(path)
        if mount is None or not self._sees(mount.path):
            raise Refused(
                "preflight capability check returned 403, please ensure client's policies grant access to path"
                f' "{path}"',
                403,
            )
        return Reply({**mount.facts(), "path": mount.path})

    def _sees(self, mount: str) -> bool:
        return self._is_root or self._acl.reaches_into(mount)

    def _list_mounts(self, _call: Call) -> Reply:
        mounts = {mount.path: mount.facts() for mount in self._mounts.all() if not mount.path.startswith("auth/")}
        return Reply(mounts, on_top=True)

    def _read_mount(self, call: Call) -> Reply:
        mount = self._mounts.at(call.path + "/")
        if mount is None:
            raise Refused(f"No secret engine mount at {call.path}/")
        return Reply(mount.facts(), on_top=True)

    def _enable(self, call: Call) -> None:
        kind = call.fields.get("type", "")
        if not kind:
            raise Refused("backend type must be specified as a string")
        options = {name: str(value) for name, value in (call.fields.get("options") or {}).items()}
        self._mounts.enable(call.path + "/", kind, call.fields.get("description", ""), options)

    def _disable(self, call: Call) -> None:
        self._mounts.disable(call.path + "/")

    def _list_policies(self, _call: Call) -> Reply:
        return Reply({"keys": [*self._tokens.policy_names(), "root"]})

    def _read_policy(self, call: Call) -> Reply:
        name = call.path.lower()
        row = self._tokens.policy(name)
        if row is None and name != "root":
            raise absent()
        facts = {
            "allow_slashes_in_identity_templates": False,
            "allow_wildcards_in_identity_templates": False,
            "cas_required": False,
            "name": name,
            "policy": row["text"] if row else "",
            "version": row["version"] if row else 0,
        }
        return Reply({**facts, "modified": timestamp(row["modified"])} if row else facts)

    def _write_policy(self, call: Call) -> None:
        name, text = call.path.lower(), call.fields.get("policy", "")
        if not text:
            raise Refused("'policy' parameter not supplied or empty")
        if name == "root":
            raise Refused('cannot update "root" policy')
        try:
            policy.parse(text)
        except policy.Unreadable as error:
            raise Refused(f"failed to parse policy: {error}") from None
        self._tokens.write_policy(name, text)

    def _delete_policy(self, call: Call) -> None:
        name = call.path.lower()
        if name in ("root", "default"):
            raise Refused("cannot delete default policy" if name == "default" else 'cannot delete "root" policy')
        self._tokens.delete_policy(name)

    def _capabilities(self, call: Call) -> Reply:
        paths = call.fields.get("paths") or call.fields.get("path") or []
        if not paths:
            raise Refused("paths must be supplied")
        if not all(paths):
            raise Refused(occurred("missing path"))
        answer = {path: self._granted(path.removeprefix("/")) for path in paths}
        if len(paths) == 1:
            answer["capabilities"] = answer[paths[0]]
        return Reply(answer, on_top=True)

    def _granted(self, path: str) -> list[str]:
        return ["root"] if self._is_root else sorted(self._acl.capabilities(path)) or ["deny"]
