"""A DeepLynx Nexus on loopback: OAuth applications, keys, tokens, the handshake and its frontend, stage by stage.

Owns the way of a request to its action and back. Organisations and whatever else is not about OAuth applications are
not served.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from registrar.sandbox.aspnet import RefusedError, Router, Values, as_object, encoded, handler_problem, segments
from registrar.sandbox.dotnet_errors import DotnetError, UnreadableTokenError
from registrar.sandbox.http import Answer, Request
from registrar.sandbox.nexus_controllers import Business, Call
from registrar.sandbox.nexus_device import Devices
from registrar.sandbox.nexus_frontend import Frontend
from registrar.sandbox.nexus_handshake import Handshake
from registrar.sandbox.nexus_routes import ACTIONS, AUTHORIZE, DEVICE_ACTIONS, Action
from registrar.sandbox.nexus_sessions import Sessions
from registrar.sandbox.nexus_stages import BUILDS, Access, Face
from registrar.sandbox.nexus_store import NOBODY, Applications, Clock, User, open_tables, printed, ticks_now
from registrar.sandbox.nexus_tokens import Tokens, bearer
from registrar.sandbox.state import State

STAGES = tuple(BUILDS)
_VERSION = re.compile(r"v([0-9]+)(?:\.0)?", re.IGNORECASE | re.ASCII)


class Nexus:
    """The server at one stage; all that it remembers is in the state.

    `sysadmin` and `user` are the keys of users 1 and 2, made with the state and kept in it. All that expires goes by
    `clock`.
    """

    def __init__(self, state: State, stage: str = "v2", *, clock: Clock = time.time) -> None:
        self._build = BUILDS[stage]
        self.sysadmin, self.user, *_ = open_tables(state)
        tokens = Tokens(state, clock)
        devices = Devices(state, tokens, clock)
        self._business = Business(Applications(state), tokens, Handshake(state, tokens, clock), devices)
        self._router = Router()
        for template in self._build.health:
            self._router.add("GET", template, _health)
        frontend = Frontend(
            Sessions(state, clock),
            self._business.applications,
            devices,
            self._authorize_as,
            device_codes=any(face.device_codes for face in self._build.faces),
        )
        for method, template, endpoint in frontend.routes():
            self._router.add(method, template, endpoint)
        for face in self._build.faces:
            self._route(face)

    def _route(self, face: Face) -> None:
        prefixes = [prefix.format(version=face.version) for prefix in self._build.prefixes]
        for prefix in prefixes:
            for action in _actions(face):
                self._router.add(action.method, prefix + action.route, functools.partial(self._run, face, action))
        document = functools.partial(_openapi, face, prefixes[0])
        for template in self._build.openapi:
            self._router.add("GET", template.format(version=face.version), document)

    def __call__(self, request: Request) -> Answer:
        try:
            path = segments(request.raw_path)
            found = self._router.find(request.method, path)
            if found is None:
                return self._nowhere(request, path)
            endpoint, values = found
            return endpoint(request, values)
        except RefusedError as refused:
            return refused.answer

    def _nowhere(self, request: Request, path: tuple[str, ...]) -> Answer:
        supported = self._build.supported
        version = _VERSION.fullmatch(path[1]) if len(path) > 1 and path[0].lower() == "api" else None
        # the newest build says so of v1 too, though it serves v1 at the paths that exist
        if supported is None or version is None or version[1] in supported:
            return Answer(404)
        problem = {
            "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
            "title": "Unsupported API Version",
            "status": 400,
            "detail": f"API version '{version[1]}' is not supported.",
            "code": "UnsupportedApiVersion",
        }
        return handler_problem(request, 400, problem)

    def _run(self, face: Face, action: Action, request: Request, values: Values) -> Answer:
        token = bearer(request)
        try:
            user = self._business.tokens.user_of(token) if token else None
        except UnreadableTokenError as error:
            return face.style.crashed(request, error)
        if refusal := _refusal(request, action.access(face), user, has_token=bool(token)):
            return refusal
        return _executed(action, Call(self._business, request, face, user or NOBODY, values))

    def _authorize_as(self, request: Request, user: User) -> Answer:
        # the frontend's backend is v1, whichever versions there are
        return _executed(AUTHORIZE, Call(self._business, request, self._build.faces[0], user, {}))


def _actions(face: Face) -> tuple[Action, ...]:
    return (*ACTIONS, *DEVICE_ACTIONS) if face.device_codes else ACTIONS


def _refusal(request: Request, access: Access, user: User | None, *, has_token: bool) -> Answer | None:
    if access is Access.SYSADMIN and user is None:
        return as_object(request, 401, {"error": "Unauthorized"})
    if access is Access.SYSADMIN and user is not None and not user.is_sys_admin:
        return as_object(request, 403, {"error": "Forbidden: System administrator access required"})
    if access is Access.USER and user is None:
        return Answer(401, headers={"www-authenticate": 'Bearer error="invalid_token"' if has_token else "Bearer"})
    return None


def _executed(action: Action, call: Call) -> Answer:
    face = call.face
    try:
        answer = action.run(call)
    except RefusedError as refused:
        # model binding refuses before the filter that reports versions
        return _with(refused.answer, face.deprecation)
    except DotnetError as error:
        answer = face.style.failed(call.request, error, action.catch, call.values)
    return _with(answer, {**face.deprecation, **face.reported})


def _with(answer: Answer, headers: Mapping[str, str]) -> Answer:
    return Answer(answer.status, answer.body, {**answer.headers, **headers}) if headers else answer


def _health(request: Request, values: Values) -> Answer:  # noqa: ARG001 - always the same
    body = encoded({"status": "healthy", "timestamp": f"{printed(ticks_now())}Z"})
    return Answer(200, body, {"content-type": "application/json; charset=utf-8"})


def _openapi(face: Face, prefix: str, request: Request, values: Values) -> Answer:  # noqa: ARG001 - one document a face
    paths: dict[str, dict[str, Any]] = {}
    for action in _actions(face):
        path = f"/{prefix}{action.route}".replace(":long", "")
        operation = {"operationId": action.operation, "responses": {"200": {"description": "OK"}}}
        paths.setdefault(path, {})[action.method.lower()] = operation
    host = f"http://{request.headers.get('host', 'localhost')}/"
    document = {
        "openapi": "3.1.1",
        "info": {"title": "DeepLynx Nexus API", "version": f"v{face.version}"},
        "servers": [{"url": host if prefix else f"{host}api/v{face.version}/"}],
        "paths": paths,
    }
    body = json.dumps(document, indent=2).encode()
    return Answer(200, body, {"content-type": "application/json;charset=utf-8"})
