"""Fetched: one application's record by its name or its path, read with no more rights than that takes.

A path is tried as one first, since who may read one path may seldom list. Decides nothing and prints nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registrar.client import Client, client
from registrar.errors import AccessDenied, StepFailed, UsageError
from registrar.model import PATH, Kind, Record

if TYPE_CHECKING:
    from registrar.cli.connection import Connection


def fetch(connection: Connection, name: str, version: int = 0) -> Client:
    """The stored credential of that version (0: the current one), and what its application needs besides."""
    refused: AccessDenied | None = None
    if PATH.fullmatch(name):
        try:
            if found := _read(connection, name, version):
                return found
        except AccessDenied as error:
            refused = error
    try:
        path = _path(connection, name, refused)
    except AccessDenied:
        if refused or not PATH.fullmatch(name):
            raise
        path = name  # which may be read, and has nothing; whether it is a name besides, this login cannot tell
    if found := _read(connection, path, version):
        return found
    location = connection.target.location(path)
    told = f"version {version} of {location} holds no credential" if version else f"{location} holds no credential now"
    raise StepFailed(told, hint=f"registrar creds history {path}" if version else f"registrar show {path}")


def held(connection: Connection, name: str) -> Record:
    """The record, from metadata alone."""
    refused: AccessDenied | None = None
    if PATH.fullmatch(name):
        try:
            if (record := connection.records.one(name)).kind is not Kind.NONE:
                return record
        except AccessDenied as error:
            refused = error
    return connection.records.one(_path(connection, name, refused))


def _read(connection: Connection, path: str, version: int) -> Client | None:
    credential, record = connection.records.credential_with_record(path, version)
    return client(record, credential, connection.target) if credential else None


def _path(connection: Connection, name: str, refused: AccessDenied | None) -> str:
    """The one path that has this name; `refused` is what asking for it as a path has come to."""
    from registrar import reconcile  # a path needs no look at everything

    try:
        world = reconcile.observe(connection.target, (), None, connection.records)
    except AccessDenied as error:
        raise refused or error from None
    (path, *others) = sorted(world.select((name,)))
    if others:
        raise UsageError(f"{name!r} is the name of several: {', '.join([path, *others])}", hint="give the path")
    return path
