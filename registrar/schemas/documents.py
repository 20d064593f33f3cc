"""The documents: which members each kind has, and what they mean.

Owns the table of kinds. A member that is a dataclass of ours is a part, described in `parts`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from registrar.client import FIELDS
from registrar.errors import CustodyError, Interrupted
from registrar.lint import Level
from registrar.model import Application
from registrar.plan import Options
from registrar.policy import Role
from registrar.report import Status as Ended
from registrar.schemas.parts import PLAN, definition, members_of
from registrar.schemas.shapes import (
    COUNT,
    FLAG,
    MOMENT,
    NUMBER,
    TEXT,
    Schema,
    array,
    counts,
    members,
    nullable,
    part,
    parts_in,
    told,
    words,
)
from registrar.status import IN_VAULT
from registrar.verify import State as Proven
from registrar.wording import SCHEMA_VERSION

_Members = dict[str, tuple[Schema, str]]

_TARGET: Final = (part("target"), "The target that was asked.")
_PATH: Final = (TEXT, "The application's identity, and its key in Vault below the target's prefix.")
_NAME: Final = (TEXT, "The name that users see; empty where nothing tells.")
_LOCATION: Final = (TEXT, "Where it is kept, as `vault kv get` wants it.")
_ID: Final = (NUMBER, "The number that Nexus knows it by.")
_MAYBE: Final = nullable(TEXT)


class _Kind(NamedTuple):
    """One kind: what prints it, what it is, its members, and those that are not always there."""

    printed_by: str
    what: str
    members: _Members
    optional: Collection[str] = ()


def _inner(what: _Members, optional: Collection[str] = ()) -> Schema:
    return members(what, optional=optional)


_OF_AN_ERROR: Final[_Members] = {
    "type": (TEXT, "The class of error, such as UsageError, Unreachable or StepFailed."),
    "message": (TEXT, "What happened."),
    "hint": (TEXT, "The command to type or the change to make; empty where there is none to tell."),
    "application": (TEXT, "The application it happened to; empty where it is of none."),
    "exit_code": ({**NUMBER, "minimum": 1, "maximum": 255}, "The exit code it leads to."),
}
_ERROR: Final = _inner(_OF_AN_ERROR)

_EXPORTED: Final = _inner({
    "nexus_id": _ID,
    **{name: about for name, about in members_of(Application).items() if name != "source"},
    "record": (_MAYBE, "The path of the record that explains it; null where none does."),
    "set": (TEXT, "Whose record that is; empty for none."),
    "faults": (array(TEXT), "Why the manifest has it as a comment; empty where it is declared."),
}, optional=("base_url", "owner_email", "description"))  # fmt: skip

_LEFT_OUT: Final = _inner({
    "nexus_id": _ID,
    "name": _NAME,
    "reason": (TEXT, "Why no manifest should declare it."),
})  # fmt: skip

_ADDRESS: Final = (TEXT, "Where the service is; empty where that is not known.")
_IDENTITY: Final[Schema] = {
    "type": "object",
    "oneOf": [
        {"title": "known", **_inner({
            "address": _ADDRESS,
            "name": (TEXT, "Who the service takes us for; empty where it tells no name."),
            "by": (TEXT, "What it knows us by: the origin of a key, or a login method."),
            "rights": (array(TEXT), "What we may do there: of Vault the policies."),
            "ends_at": (nullable(MOMENT), "When that ends; null where no end is told."),
        })},
        {"title": "unknown", **_inner({
            "address": _ADDRESS,
            "error": (_inner({
                "message": (TEXT, "What happened."),
                "hint": (TEXT, "What to do about it; empty where there is nothing to tell."),
            }), "Why that cannot be told."),
        })},
    ],
}  # fmt: skip

_ROW_OF_CREDENTIALS: Final = _inner({
    "path": _PATH,
    "name": _NAME,
    "set": (TEXT, "Whose record it is; empty for none."),
    "client_id": (TEXT, "The client id; empty where nothing tells."),
    "version": (COUNT, "The current version."),
    "state": (words(IN_VAULT), "What the record is."),
    "location": _LOCATION,
})  # fmt: skip

_VALUES: Final = {
    "client_id": "The client id.",
    "client_secret": "The client secret; a mask on a terminal, without --reveal.",
    "redirect_uri": "Where Nexus sends the code.",
    "authorize_url": "Where a browser is sent to sign in.",
    "exchange_url": "Where a program makes a code into a token.",
}

_IN_VAULT_OF_HANDOVER: Final = _inner({
    "address": (TEXT, "Where Vault is."),
    "namespace": (TEXT, "Namespace of Vault; empty for none."),
    "mount": (TEXT, "Mount of the key-value store, version 2."),
    "prefix": (TEXT, "Folder of the records below the mount."),
    "key": (TEXT, "The record's key below the mount."),
    "location": _LOCATION,
    "policy": (TEXT, "The one line of a Vault policy that reading it takes."),
})  # fmt: skip

_GRACE: Final = _inner({
    "client_id": (TEXT, "The client id that works beside the current one."),
    "until": (MOMENT, "Until when."),
})  # fmt: skip

_NAMED_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}

_TOKEN: Final = _inner({
    "claims": ({"type": "object", "additionalProperties": True}, "What the token says, secrets masked."),
    "expires_at": (nullable(MOMENT), "When it ends; null where it does not tell."),
    "scope": (TEXT, "Its scope; empty, since Nexus has none."),
    "ended": (FLAG, "Whether the clean-up has ended it."),
    "access_token": (TEXT, "The token itself, with --show-token alone."),
}, optional=("access_token",))  # fmt: skip

_ANSWER: Final = _inner({
    "path": (TEXT, "The endpoint."),
    "status": (NUMBER, "The status of its answer."),
})  # fmt: skip

_ACCOUNT: Final = _inner({
    "api_key": (TEXT, "Its API key."),
    "api_secret": (TEXT, "The secret of that."),
})  # fmt: skip

_OPTIONS: Final = _inner({
    "paths": (array(TEXT), "The manifests that were named; empty for those of registrar.yaml."),
    **told(Options, {
        "only": "The names or paths that it was restricted to; empty for all.",
        "prune": "Whether what no manifest declares is retired.",
        "unarchive": "Whether what somebody archived in Nexus is brought back.",
        "accept_nexus": "The former address of a server that has moved; empty for none.",
    }, {}),
})  # fmt: skip

_RULE: Final = _inner({
    "id": (TEXT, "Its id, which a finding names."),
    "title": (TEXT, "What it asks for."),
    "reason": (TEXT, "Why."),
    "fix": (TEXT, "What to do about a breach."),
    "source": (TEXT, "Where it comes from; empty where it is our own."),
    "otherwise": (TEXT, "In which case its level is the other one; empty for none."),
    "level": (words(Level), "Whether a breach stops a run."),
    "waivable": (FLAG, "Whether a comment on the line can silence it, where it is a warning."),
})  # fmt: skip

_EXIT_CODES: Final = (0, 1, CustodyError.exit_code, Interrupted.exit_code)

_KINDS: Final[dict[str, _Kind]] = {
    "plan": _Kind("plan", "What apply would do.", {
        **PLAN,
        "options": (_OPTIONS, "What was asked for; in a file of --out alone."),
        "checksum": (
            {**TEXT, "pattern": "^sha256:[0-9a-f]{64}$"},
            "Over all other members, to find what was damaged; in a file of --out alone.",
        ),
    }, optional=("options", "checksum")),
    "report": _Kind("apply, rotate, retire, restore, adopt, recover", "What a change has done, step by step.", {
        "plan": (part("plan"), "The plan that was carried out."),
        "outcomes": (array(part("outcome")), "How each step of it ended."),
        "counts": (counts(Ended, always=True), "How many steps ended so."),
        "interrupted": (FLAG, "Whether somebody asked the run to stop."),
        "exit_code": ({**NUMBER, "enum": list(_EXIT_CODES)}, "The exit code of the command."),
    }),
    "status": _Kind("status", "Manifest, Nexus and Vault side by side.", {
        "target": _TARGET,
        "rows": (array(part("row")), "The applications, by path."),
        "other_records": (COUNT, "How many records there are of other sets or hands."),
        "unexplained": (COUNT, "How many living applications in Nexus no record explains."),
        "unexplained_archived": (COUNT, "How many archived ones."),
        "seen_at": (nullable(MOMENT), "The time of Vault's last answer; null where there is no record."),
        "changed_at": (nullable(MOMENT), "When a run last registered, rotated or proved anything; null for never."),
        "older_than_s": (nullable(COUNT), "The age that was asked about, in seconds; null where none was."),
    }),
    "application": _Kind("show", "One application: all three sides, and what apply would do.", {
        "status": (part("row"), "Its row of the status."),
        "manifest": (nullable(part("application")), "As a manifest declares it; null where none does."),
        "nexus": (nullable(part("registered")), "As Nexus has it; null where it has not."),
        "vault": (nullable(part("record")), "Its record in Vault; null where there is none."),
        "steps": (array(part("step")), "What apply would do."),
    }),
    "findings": _Kind("validate", "What is wrong with manifests.", {
        "files": (array(TEXT), "The files that were read."),
        "applications": (COUNT, "How many applications they declare."),
        "findings": (array(part("finding")), "The findings, by place."),
    }),
    "rules": _Kind("validate --explain", "The rules for manifests.", {"rules": (array(_RULE), "The rules, by id.")}),
    "verification": _Kind("verify", "Whether the stored credentials work.", {
        "target": _TARGET,
        "credentials": (array(part("proof")), "The credentials, by path."),
        "counts": (counts(Proven, always=True), "How many stand so."),
        "left_out": (COUNT, "How many records are retired or not of this set, and so were left out."),
        "exit_code": ({**NUMBER, "enum": [0, 1]}, "The exit code of the command."),
    }),
    "export": _Kind("export", "The living applications of Nexus.", {
        "target": _TARGET,
        "applications": (array(_EXPORTED), "The applications, those first that a record explains."),
        "left_out": (array(_LEFT_OUT), "Those that no manifest should declare."),
        "manifest": (TEXT, "The manifest, as YAML."),
    }),
    "doctor": _Kind("doctor", "Whether everything is there that a run needs.", {
        "target": _TARGET,
        "well": (FLAG, "Whether nothing has failed."),
        "checks": (array(part("check")), "What was looked at, in that order."),
    }),
    "whoami": _Kind("whoami", "Who each service takes us for.", {
        "nexus": (_IDENTITY, "What Nexus says."),
        "vault": (_IDENTITY, "What Vault says."),
    }),
    "policies": _Kind("policy", "The exact Vault policies.", {
        "policies": (_inner(
            {str(role): (array(part("grant")), f"The policy of the {role}.") for role in Role}, tuple(map(str, Role))
        ), "The policy of each role that was asked for."),
    }),
    "credential": _Kind("creds get", "A credential.", {
        "path": _PATH,
        "location": _LOCATION,
        **{name: (TEXT, _VALUES[name]) for name in FIELDS},
    }, optional=FIELDS),
    "credentials": _Kind("creds list", "The credentials that a login may see, from metadata alone.", {
        "target": _TARGET,
        "credentials": (array(_ROW_OF_CREDENTIALS), "The records, by path."),
    }),
    "history": _Kind("creds history", "The versions of a credential, from metadata alone.", {
        "path": _PATH,
        "name": _NAME,
        "location": _LOCATION,
        "live": (nullable(COUNT), "The version that is live; null where none is."),
        "versions": (array(part("past")), "The versions, newest first."),
    }),
    "flow": _Kind("flow", "A sign-in to an application, and what came of it.", {
        "path": _PATH,
        "name": _NAME,
        "client_id": (TEXT, "The client id that was used."),
        "redirect_uri": (TEXT, "Where Nexus sent the code."),
        "steps": (array(part("flow_step")), "The steps, in their order."),
        "token": (_TOKEN, "What is known of the token."),
        "call": (nullable(_ANSWER), "What one endpoint answered to the token; null where none was called."),
    }),
    "handover": _Kind("handover", "What an application's owner has to know; null: not known, or not there.", {
        "name": _NAME,
        "path": _PATH,
        "owner": (_MAYBE, "The owner's address."),
        "contact": (_MAYBE, "Whom to ask."),
        "client_id": (_MAYBE, "The client id."),
        "redirect_uri": (_MAYBE, _VALUES["redirect_uri"]),
        "nexus": (_MAYBE, "Where Nexus is."),
        "authorize_url": (_MAYBE, _VALUES["authorize_url"]),
        "exchange_url": (_MAYBE, _VALUES["exchange_url"]),
        "vault": (_IN_VAULT_OF_HANDOVER, "Where the credential is."),
        "grace": (nullable(_GRACE), "The registration before, while it works; null where there is none."),
        "environment": (_NAMED_TEXTS, "The variables that tell registrar where that is, with their values."),
        "commands": (_NAMED_TEXTS, "Commands by what they are for."),
    }),
    "sandbox": _Kind("sandbox", "The addresses and keys of the stand-ins: the first line, as soon as they serve.", {
        "nexus_url": (TEXT, "Where Nexus is."),
        "frontend_url": (TEXT, "Where users sign in to it."),
        "vault_addr": (TEXT, "Where Vault is."),
        "vault_token": (TEXT, "A token of Vault that may do everything."),
        "sysadmin": (_ACCOUNT, "An account of Nexus that manages applications."),
        "user": (_ACCOUNT, "An account of Nexus that may sign in."),
    }),
    "error": _Kind("every command, where it fails before it has printed another document", "What went wrong.", {
        "error": (_ERROR, "The error."),
    }),
}  # fmt: skip

_OF_SEVERAL: Final[_Members] = {
    "errors": (
        array(_inner({"target": (TEXT, "The target it happened at."), **_OF_AN_ERROR})),
        "What was in the way at the other targets, in the order of the run.",
    ),
    "exit_code": (NUMBER, "The exit code of the command, which is that of the worst."),
}


def _each(kind: str) -> Schema:
    """What was found at each target, as the document on one has it."""
    return array(_inner(_KINDS[kind].members, _KINDS[kind].optional))


_KINDS.update({
    "plans": _Kind("plan, with several targets", "What apply would do at each of several targets.", {
        "plans": (array(part("plan")), "The plan of each target that could be planned, in the order of the run."),
        "digest": (_MAYBE, "What apply --expect takes for all of them; null where not all could be planned in full."),
        "counts": (PLAN["counts"][0], "How many steps of each operation there are in all."),
        **_OF_SEVERAL,
    }),
    "reports": _Kind("apply, recover, with several targets", "What a change has done at each of several targets.", {
        "reports": (_each("report"), "The report of each target that was begun, in the order of the run."),
        "digest": (_MAYBE, "The digest of all plans; null where not all could be planned, so that none is begun."),
        "not_begun": (array(TEXT), "The targets that were not begun, since another one did not go well."),
        "hint": (TEXT, "The command that goes on; empty where there is none to tell."),
        "interrupted": (FLAG, "Whether somebody asked the run to stop."),
        **_OF_SEVERAL,
    }),
    "statuses": _Kind("status, with several targets", "Manifest, Nexus and Vault at each of several targets.", {
        "statuses": (_each("status"), "The status of each target that could be looked at, in the order of the run."),
        **_OF_SEVERAL,
    }),
    "verifications": _Kind("verify, with several targets", "Whether the credentials of several targets work.", {
        "verifications": (_each("verification"), "What came of each target that could be looked at."),
        **_OF_SEVERAL,
    }),
})  # fmt: skip

KINDS: Final = {name: kind.printed_by for name, kind in _KINDS.items()}
"""Every kind of document, and the commands that print it."""


def schema(kind: str) -> Schema:
    """The schema of a kind of document; LookupError for one that there is not."""
    found = _KINDS[kind]
    always: _Members = {
        "schema_version": ({"const": SCHEMA_VERSION}, "The version of this contract."),
        "kind": ({"const": kind}, "What this document is."),
    }
    body = members(always | found.members, optional=found.optional)
    used = _definitions(body)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"registrar {kind}",
        "description": f"{found.what} Printed by: {found.printed_by}.",
        **body,
        **({"$defs": used} if used else {}),
    }


def _definitions(body: Schema) -> Schema:
    """The parts that a body is made of, and those that they are made of, by name."""
    found: Schema = {}
    pending = list(parts_in(body))
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = definition(name)
            pending += parts_in(found[name])
    return dict(sorted(found.items()))
