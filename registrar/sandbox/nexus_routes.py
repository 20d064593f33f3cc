"""Nexus's routes under an API version: which action, whom it lets in, and what v1 makes of its exceptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registrar.sandbox import nexus_controllers as controllers
from registrar.sandbox.aspnet import Binding, Values
from registrar.sandbox.dotnet_errors import (
    DotnetError,
    InvalidOperationError,
    KeyNotFoundError,
    UnauthorizedAccessError,
)
from registrar.sandbox.http import Answer, Request
from registrar.sandbox.nexus_controllers import Call
from registrar.sandbox.nexus_stages import Access, Face
from registrar.sandbox.nexus_styles import Catch, catch_as_message, catch_as_oauth, catch_as_text


@dataclass(frozen=True, slots=True)
class Action:
    """A controller's method at its route."""

    method: str
    route: str
    operation: str
    access: Callable[[Face], Access]
    run: Callable[[Call], Answer]
    catch: Catch


def _catch_archiving(request: Request, error: DotnetError, values: Values) -> Answer:
    archives = Binding(request).flag("archive", default=False)
    doing, method = ("archiving", "Archive") if archives else ("unarchiving", "Unarchive")
    catch = catch_as_text(f"{doing} oauth application {{applicationId}}", f"{method}OauthApplication")
    return catch(request, error, values)


_APPLICATIONS, _APPLICATION = "oauth/applications", "oauth/applications/{applicationId:long}"
_NOT_FOUND: dict[type[DotnetError], int] = {KeyNotFoundError: 404}
_BAD_TOKEN: dict[type[DotnetError], int] = {
    KeyNotFoundError: 404,
    UnauthorizedAccessError: 401,
    InvalidOperationError: 400,
}


def _application_action(method: str, route: str, operation: str, run: Callable[[Call], Answer], catch: Catch) -> Action:
    return Action(method, route, operation, lambda face: face.applications, run, catch)


AUTHORIZE = Action(
    "GET",
    "oauth/authorize",
    "api_oauth_authorize",
    lambda _: Access.ANYONE,
    controllers.authorize,
    catch_as_oauth("An unexpected error occurred in the OAuth authorization flow"),
)
ACTIONS = (
    _application_action(
        "GET",
        _APPLICATIONS,
        "api_get_all_oauth_applications",
        controllers.list_applications,
        catch_as_text("listing OAuth applications", "GetAllOauthApplications"),
    ),
    _application_action(
        "POST",
        _APPLICATIONS,
        "api_create_oauth_application",
        controllers.create_application,
        catch_as_text("creating OAuth application", "CreateOauthApplication"),
    ),
    _application_action(
        "GET",
        _APPLICATION,
        "api_get_oauth_application",
        controllers.get_application,
        catch_as_text("retrieving OAuth application {applicationId}", "GetOauthApplication"),
    ),
    _application_action(
        "PUT",
        _APPLICATION,
        "api_update_oauth_application",
        controllers.update_application,
        catch_as_text("updating OAuth application {applicationId}", "UpdateOauthApplication"),
    ),
    _application_action(
        "PATCH", _APPLICATION, "api_archive_oauth_application", controllers.archive_application, _catch_archiving
    ),
    _application_action(
        "DELETE",
        _APPLICATION,
        "api_delete_oauth_application",
        controllers.delete_application,
        catch_as_text("deleting OAuth application {applicationId}", "DeleteOauthApplication"),
    ),
    Action(
        "POST",
        "oauth/tokens",
        "api_create_token",
        lambda _: Access.ANYONE,
        controllers.create_token,
        catch_as_message("creating the token", _BAD_TOKEN),
    ),
    Action(
        "DELETE",
        "oauth/tokens/revoke",
        "api_revoke_all_user_tokens",
        lambda _: Access.USER,
        controllers.revoke_tokens,
        catch_as_message("revoking tokens", {}),
    ),
    Action(
        "POST",
        "oauth/keys",
        "api_create_api_key",
        lambda face: face.new_key,
        controllers.create_key,
        catch_as_message("creating the API key", _NOT_FOUND),
    ),
    Action(
        "GET",
        "oauth/keys",
        "api_get_all_user_keys",
        lambda _: Access.USER,
        controllers.list_keys,
        catch_as_message("retrieving API keys", {}),
    ),
    Action(
        "DELETE",
        "oauth/keys/{key}",
        "api_delete_api_key",
        lambda _: Access.USER,
        controllers.delete_key,
        catch_as_message("deleting the API key", _NOT_FOUND),
    ),
    Action(
        "GET",
        "users/current",
        "api_get_current_user",
        lambda _: Access.USER,
        controllers.current_user,
        catch_as_message("fetching current user", {}),
    ),
    AUTHORIZE,
    Action(
        "POST",
        "oauth/exchange",
        "api_oauth_exchange",
        lambda _: Access.ANYONE,
        controllers.exchange,
        catch_as_oauth("Unexpected error occurred during OAuth token exchange"),
    ),
)


def _device_action(method: str, route: str, operation: str, access: Access, run: Callable[[Call], Answer]) -> Action:
    # v2 alone has them, and asks no action what to make of an exception
    return Action(method, route, operation, lambda _: access, run, catch_as_message("", {}))


DEVICE_ACTIONS = (
    _device_action("POST", "oauth/device/code", "api_oauth_device_code", Access.ANYONE, controllers.begin_device),
    _device_action("POST", "oauth/token", "api_oauth_token", Access.ANYONE, controllers.grant_token),
    _device_action(
        "GET", "oauth/device/verify", "api_oauth_device_verify_lookup", Access.USER, controllers.look_up_device
    ),
    _device_action(
        "POST", "oauth/device/verify", "api_oauth_device_verify_decision", Access.USER, controllers.decide_device
    ),
)
