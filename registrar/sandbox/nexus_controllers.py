"""Nexus's controllers: what each action takes from a request, does, and answers when all is well.

Access, versions and exceptions are handled around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registrar.sandbox.aspnet import Binding, RefusedError, Values, as_object, as_string
from registrar.sandbox.dotnet_errors import OauthError
from registrar.sandbox.http import Answer, Request
from registrar.sandbox.nexus_device import Devices
from registrar.sandbox.nexus_handshake import Exchange, Handshake
from registrar.sandbox.nexus_stages import DECISION, TOKEN, Face
from registrar.sandbox.nexus_store import ApiKey, Applications, User
from registrar.sandbox.nexus_tokens import Tokens


@dataclass(frozen=True, slots=True)
class Business:
    """What the controllers work on."""

    applications: Applications
    tokens: Tokens
    handshake: Handshake
    devices: Devices


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has reached its action."""

    business: Business
    request: Request
    face: Face
    user: User
    values: Values

    @property
    def application_id(self) -> int:
        return int(self.values["applicationId"])

    def check(self, binding: Binding) -> None:
        if binding.errors:
            raise RefusedError(self.face.style.invalid(binding))


# Applications


def list_applications(call: Call) -> Answer:
    binding = Binding(call.request)
    hide_archived = binding.flag("hideArchived", default=True)
    number, size = _page(binding) if call.face.paged else (1, -1)
    call.check(binding)
    if not call.face.paged:
        rows = call.business.applications.everything(hide_archived=hide_archived)
        return as_object(call.request, 200, [_zoned(row, call.face) for row in rows])
    rows, total = call.business.applications.page(number, size, hide_archived=hide_archived)
    return as_object(call.request, 200, _paged([_zoned(row, call.face) for row in rows], number, size, total))


def get_application(call: Call) -> Answer:
    binding = Binding(call.request)
    hide_archived = binding.flag("hideArchived", default=True)
    call.check(binding)
    row = call.business.applications.get(call.application_id, hide_archived=hide_archived)
    return as_object(call.request, 200, _zoned(row, call.face))


def create_application(call: Call) -> Answer:
    binding = Binding(call.request)
    fields = binding.document("dto", call.face.create)
    call.check(binding)
    return as_object(call.request, 200, call.business.applications.create(fields, call.user.id))


def update_application(call: Call) -> Answer:
    binding = Binding(call.request)
    fields = binding.document("dto", call.face.update)
    call.check(binding)
    row = call.business.applications.update(call.application_id, fields, call.user.id)
    return as_object(call.request, 200, _zoned(row, call.face))


def archive_application(call: Call) -> Answer:
    binding = Binding(call.request)
    # a bool that is absent is false, so a bare PATCH unarchives
    archived = binding.flag("archive", default=False)
    call.check(binding)
    application_id = call.application_id
    call.business.applications.set_archived(application_id, call.user.id, archived=archived)
    done = "Archived" if archived else "Unarchived"
    return call.face.style.done(call.request, f"{done} OAuth application {application_id}")


def delete_application(call: Call) -> Answer:
    call.business.applications.delete(call.application_id)
    return call.face.style.done(call.request, f"Deleted OAuth application {call.application_id}")


# Tokens, keys, users


def create_token(call: Call) -> Answer:
    binding = Binding(call.request)
    fields = binding.document("tokenDto", TOKEN)
    call.check(binding)
    key = ApiKey(fields["ApiKey"], fields["ApiSecret"])
    return as_string(call.request, 200, call.business.tokens.create_token(key, fields.get("ExpirationMinutes")))


def revoke_tokens(call: Call) -> Answer:
    return call.face.style.revoked(call.request, call.business.tokens.revoke_all(call.user.id))


def create_key(call: Call) -> Answer:
    key = call.business.tokens.create_key(call.user.id, Binding(call.request).text("clientId"))
    return as_object(call.request, 200, {"apiKey": key.api_key, "apiSecret": key.api_secret})


def list_keys(call: Call) -> Answer:
    if not call.face.paged:
        return as_object(call.request, 200, call.business.tokens.keys(call.user.id))
    binding = Binding(call.request)
    number, size = _page(binding)
    call.check(binding)
    keys = call.business.tokens.keys(call.user.id)
    length = len(keys) if size < 0 else size
    shown = keys[(number - 1) * length : number * length]
    return as_object(call.request, 200, _paged(shown, number, size, len(keys)))


def delete_key(call: Call) -> Answer:
    call.business.tokens.delete_key(call.user.id, call.values["key"])
    return call.face.style.done(call.request, "Successfully deleted API key")


def current_user(call: Call) -> Answer:
    shown = {
        "id": call.user.id,
        "name": call.user.name,
        "email": call.user.email,
        "username": call.user.username,
        "isSysAdmin": call.user.is_sys_admin,
        "isArchived": False,
        "isActive": True,
        "isOrgAdmin": None,
        "isProjectAdmin": None,
    }
    return as_object(call.request, 200, shown)


# Handshake


def authorize(call: Call) -> Answer:
    binding = Binding(call.request)
    client_id = binding.required("client_id", "clientId")
    redirect_uri = binding.required("redirect_uri", "redirectUri")
    state = binding.required("state", "state")
    call.check(binding)
    location = call.business.handshake.authorize(client_id, redirect_uri, state, call.user.id)
    return Answer(302, headers={"location": location})


def exchange(call: Call) -> Answer:
    binding = Binding(call.request)
    offer = Exchange(
        code=binding.required("code", "code"),
        client_id=binding.required("client_id", "clientId"),
        client_secret=binding.required("client_secret", "clientSecret"),
        redirect_uri=binding.required("redirect_uri", "redirectUri"),
        state=binding.required("state", "state"),
        minutes=binding.double("expiration"),
    )
    call.check(binding)
    token = call.business.handshake.exchange(offer)
    return call.face.style.exchanged(call.request, token, offer.minutes_or_default, offer.state)


# Device authorization


def begin_device(call: Call) -> Answer:
    binding = Binding(call.request)
    # HOSTED_LINK, which is where the frontend is: here, under the name that the device knows
    verification_uri = f"http://{call.request.headers.get('host', 'localhost')}/oauth/device/verify"
    begun = call.business.devices.begin(binding.posted("client_id"), binding.posted("scope"), verification_uri)
    return as_object(call.request, 200, begun)


def grant_token(call: Call) -> Answer:
    binding = Binding(call.request)
    client_id = binding.posted("client_id")
    match binding.posted("grant_type"):
        case "":
            raise OauthError("invalid_request", "grant_type is required")
        case "urn:ietf:params:oauth:grant-type:device_code":
            granted = call.business.devices.grant(binding.posted("device_code"), client_id)
        case "refresh_token":
            granted = call.business.devices.refresh(binding.posted("refresh_token"), client_id)
        case _:
            raise OauthError("unsupported_grant_type", "Unsupported grant_type")
    return as_object(call.request, 200, granted)


def look_up_device(call: Call) -> Answer:
    return as_object(call.request, 200, call.business.devices.look_up(Binding(call.request).text("user_code") or ""))


def decide_device(call: Call) -> Answer:
    binding = Binding(call.request)
    fields = binding.document("requestDto", DECISION)
    call.check(binding)
    approve = bool(fields.get("Approve"))
    return as_object(call.request, 200, call.business.devices.decide(fields["UserCode"], call.user.id, approve=approve))


# Shapes


def _zoned(row: Mapping[str, Any], face: Face) -> dict[str, Any]:
    return {**row, "lastUpdatedAt": row["lastUpdatedAt"] + face.time_zone}


def _page(binding: Binding) -> tuple[int, int]:
    number = binding.ranged("PageNumber", 1, 2**31 - 1, default=1)
    return number, binding.ranged("PageSize", -1, 500, default=25)


def _paged(items: list[Any], number: int, size: int, total: int) -> dict[str, Any]:
    length = total if size < 0 else size
    pages = -(-total // length) if length else 0
    return {
        "items": items,
        "pageNumber": number,
        "pageSize": length,
        "totalCount": total,
        "totalPages": pages,
        "hasPrevious": number > 1,
        "hasNext": number < pages,
    }
