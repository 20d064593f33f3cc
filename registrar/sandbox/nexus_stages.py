"""The builds of Nexus that the stand-in can be, as one table of differences.

What separates two stages is a value here, or it does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from registrar.sandbox.dotnet_json import Member, Model
from registrar.sandbox.nexus_styles import Legacy, Problems, Style


class Access(Enum):
    """Whom an action lets in."""

    ANYONE = "anyone"
    USER = "user"
    SYSADMIN = "sysadmin"


def _creation(name_limit: int | None = None, description_limit: int | None = None) -> Model:
    members = (
        Member("Name", required=True, max_length=name_limit),
        Member("Description", max_length=description_limit),
        Member("CallbackUrl", required=True),
        Member("BaseUrl"),
        Member("AppOwnerEmail"),
    )
    return Model("deeplynx.models.CreateOauthApplicationRequestDto", members)


TOKEN = Model(
    "deeplynx.models.CreateTokenDto",
    (Member("ApiKey", required=True), Member("ApiSecret", required=True), Member("ExpirationMinutes", is_number=True)),
)


DECISION = Model(
    "deeplynx.models.DeviceAuthorizationDecisionRequestDto",
    (Member("UserCode", spelled="user_code", required=True), Member("Approve", spelled="approve", is_boolean=True)),
)


@dataclass(frozen=True, slots=True)
class Face:
    """One API version as one stage serves it."""

    version: int
    style: Style
    applications: Access = Access.SYSADMIN
    new_key: Access = Access.ANYONE
    create: Model = field(default_factory=lambda: _creation(50, 250))
    time_zone: str = "Z"
    paged: bool = False
    device_codes: bool = False
    reported: Mapping[str, str] = field(default_factory=dict)
    deprecation: Mapping[str, str] = field(default_factory=dict)

    @property
    def update(self) -> Model:
        """As for a create, and nothing is required."""
        members = tuple(replace(member, required=False) for member in self.create.members)
        return Model("deeplynx.models.UpdateOauthApplicationRequestDto", members)


@dataclass(frozen=True, slots=True)
class Stage:
    """One build of the server; `supported` is what the version middleware takes for a version, None without one."""

    faces: tuple[Face, ...]
    prefixes: tuple[str, ...] = ("api/v{version}/", "api/v{version}.0/")
    health: tuple[str, ...] = ("api/v1/health",)
    openapi: tuple[str, ...] = ("api/openapi/v{version}.json", "api/v1/openapi/v{version}.json")
    supported: frozenset[str] | None = None


_BOTH = {"api-supported-versions": "1.0, 2.0"}
_SECOND = {"api-supported-versions": "2.0", "api-deprecated-versions": "1.0"}
_OLDEST = Stage(
    faces=(Face(1, Legacy(), applications=Access.USER, new_key=Access.USER, create=_creation(), time_zone=""),),
    prefixes=("", "api/v{version}/"),
    health=("api/v1/health", "health"),
    openapi=("api/v1/openapi/v{version}.json", "openapi/v{version}.json"),
)
_EARLIER = Stage(
    faces=(
        Face(1, Legacy(), reported=_BOTH),
        Face(2, Problems("An unexpected error occurred."), reported=_BOTH),
    ),
    supported=frozenset({"1", "2"}),
)
_NEWEST = Stage(
    faces=(
        Face(1, Legacy(), reported=_SECOND, deprecation={"deprecation": "@1785888000"}),
        Face(2, Problems(), paged=True, device_codes=True, reported=_SECOND),
    ),
    supported=frozenset({"2"}),
)
# one server, recorded at its two versions; at v1 it stands for a build of it that has no device codes yet
_DEPRECATED = replace(_NEWEST, faces=tuple(replace(face, device_codes=False) for face in _NEWEST.faces))
BUILDS = {"v1": _OLDEST, "v1-deprecated": _DEPRECATED, "v2": _NEWEST, "v2-array": _EARLIER}
