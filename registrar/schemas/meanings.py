"""What the members of each part mean, for whoever reads a document.

Owns the words alone: which members there are, and of which type, the dataclasses tell.
"""

from __future__ import annotations

from typing import Final

from registrar import history, status, verify
from registrar.doctor import Check
from registrar.flow import Told
from registrar.lint import Finding
from registrar.model import Application, Facts, Former, Record, Registered, Target, Version
from registrar.policy import Grant
from registrar.steps import Change, Edit

PATH: Final = "The application's identity, and its key in Vault below the target's prefix."
NAME: Final = "The name that users see."
HINT: Final = "The way out: a command to type or a change to make; empty where there is none to tell."
CLIENT_ID: Final = "The client id; empty where none is known."

MEANINGS: Final[dict[type, tuple[str, str, dict[str, str]]]] = {
    Target: ("target", "One environment: which Nexus, and which folder of which Vault.", {
        "name": "Its name in registrar.yaml; default where there is no such file.",
        "nexus_url": "Where Nexus is: origin and base path, without /api; empty where that is not known.",
        "frontend_url": "Where users sign in to Nexus.",
        "vault_addr": "Where Vault is.",
        "vault_mount": "Mount of the key-value store, version 2.",
        "vault_prefix": "Folder of the records below the mount.",
        "vault_namespace": "Namespace of Vault; empty for none.",
        "set": "Whose records these are; empty where registrar.yaml names no set.",
        "production": "Whether the stricter rules of production hold.",
        "allowed_hosts": "Hosts that redirect URIs may have besides that of base_url.",
    }),
    Application: ("application", "An application as a manifest wants it on one target; null: not managed.", {
        "path": PATH,
        "name": NAME,
        "redirect_uri": "Where Nexus sends the code.",
        "base_url": "Where users open the application.",
        "owner_email": "Who is told about rotation and retirement.",
        "description": "What it is.",
        "protected": "Whether it is neither retired nor rotated unless named.",
        "source": "Where it is declared, as file:line:column; empty for one that no manifest declares.",
    }),
    Registered: ("registered", "An application as Nexus has it; an empty text is what Nexus has as null or empty.", {
        "id": "The number that Nexus knows it by.",
        "client_id": "The client id that Nexus gave it.",
        "name": NAME,
        "redirect_uri": "Where Nexus sends the code.",
        "base_url": "Where users open the application.",
        "owner_email": "Its owner's address.",
        "description": "Its description, or the mark of a registration in progress.",
        "archived": "Whether it is archived, so that nobody can sign in to it.",
    }),
    Change: ("change", "One field before and after.", {
        "field": "The field's name.",
        "before": "Its value now.",
        "after": "Its value afterwards.",
    }),
    Edit: ("edit", "The fields to change of one registration.", {
        "id": "The number that Nexus knows it by.",
        "client_id": "Its client id.",
        "changes": "The fields.",
    }),
    Former: ("former", "The registration that a rotation left behind.", {
        "client_id": "Its client id.",
        "version": "The version of the record that holds its credential.",
        "until": "The end of its grace.",
    }),
    Finding: ("finding", "One thing that is wrong, and where.", {
        "rule": "Id of the rule: `registrar validate` documents it.",
        "level": "Whether it stops a run.",
        "message": "What is wrong.",
        "file": "The file, as it was named.",
        "line": "The line, counted from 1; 0 where it is of the whole file.",
        "column": "The column, counted from 1.",
        "application": "Name of the application; empty where it is of none.",
        "hint": HINT,
    }),
    Check: ("check", "One thing that the doctor has looked at.", {
        "subject": "What was looked at: the configuration, Nexus, Vault.",
        "id": "The check's name, unique in its subject.",
        "state": "How it ended.",
        "text": "What was found.",
        "hint": "What mends it; empty where nothing has to be mended.",
    }),
    status.Row: ("row", "One application: a word for its state, and one for each side.", {
        "path": PATH,
        "name": NAME,
        "state": "What the three sides come to.",
        "manifest": "Whether a manifest declares it.",
        "nexus": "What Nexus has.",
        "vault": "What Vault holds.",
        "client_id": CLIENT_ID,
        "version": "The current version of its record; 0 where there is none.",
        "registered_at": "When it was registered; null where nothing tells.",
        "reason": "Why that is its state.",
        "hint": HINT,
        "managed": "Whether it is a record of this set that is not retired.",
        "protected": "Whether it is neither retired nor rotated unless named.",
        "in_use": "Whether a credential is in use.",
        "made_at": "When the credential in use was made; null where nothing tells.",
        "proven_at": "When that credential was last proven; null where it never was.",
        "age_s": "Its age in seconds, by Vault's clock; null where nothing tells.",
        "old": "Whether it is as old as was asked about by --older-than.",
    }),
    Version: ("version", "One version of a record's data.", {
        "number": "Its number, counted from 1.",
        "created_at": "When it was written.",
        "deletes_at": "When it was deleted, or will be; null for never.",
        "destroyed": "Whether its data is gone for good.",
    }),
    Facts: ("facts", "What is public about a credential, kept as the record's custom_metadata; empty: not known.", {
        "client_id": CLIENT_ID,
        "version": "The version that these facts describe.",
        "set": "Whose record it is.",
        "name": NAME,
        "nexus": "The Nexus that it was registered at.",
        "redirect_uri": "Where Nexus sends the code.",
        "base_url": "Where users open the application.",
        "owner": "Its owner's address.",
        "frontend": "Where users sign in to that Nexus.",
        "domain": "The domain of the lock under which it was written.",
        "fingerprint": "Which fields are managed, with a digest of each.",
        "protected": "Whether it is neither retired nor rotated unless named.",
        "registered_at": "When it was registered.",
        "rotated_at": "When its credential was last replaced.",
        "proven_at": "When its credential was last proven.",
        "retiring": "The registration that works beside it until the end of its grace.",
        "leaving": "A registration before that one which has still to be archived.",
        "state": "What the record says of itself; empty for an ordinary one.",
        "others": "Keys that somebody else has put there, with their values.",
    }),
    Record: ("record", "A Vault record as its metadata shows it; no secret is in it.", {
        "path": PATH,
        "seen_at": "The time of Vault's answer.",
        "facts": "What registrar has noted about it; null for a record that is not registrar's.",
        "current": "The current version; 0 where nothing is stored.",
        "versions": "The versions that Vault still knows, oldest first.",
        "metadata_version": "The version of the metadata, where the server counts it (OpenBao); else null.",
        "max_versions": "How many versions are kept; 0: the mount decides.",
        "delete_after_s": "After how many seconds versions are deleted; 0: never.",
        "others": "custom_metadata of a record that is not registrar's.",
    }),
    history.Past: ("past", "One version of a credential.", {
        "number": "Its number, counted from 1.",
        "created_at": "When it was written.",
        "state": "What has become of it.",
        "until": "When it was deleted, will be, or may go; null where nothing ends it.",
        "client_id": "The client id that it holds; empty where the facts name none.",
        "note": "What a person should know of it; empty where there is nothing.",
    }),
    verify.Row: ("proof", "One credential, and whether it works.", {
        "path": PATH,
        "name": NAME,
        "state": "What Nexus says of it.",
        "reason": "Why; empty where there is nothing to add.",
        "hint": HINT,
        "version": "The version of the record that holds it; 0 where there is none.",
        "client_id": CLIENT_ID,
        "until": "The end of its grace, of one that a rotation left behind; null of the current one.",
    }),
    Told: ("flow_step", "One step of the flow as it was made.", {
        "step": "Its name.",
        "request": "The request that was made, with secrets masked; empty where none was.",
        "outcome": "What came of it.",
    }),
    Grant: ("grant", "One line of a policy.", {
        "path": "The path; one that ends in * is everything below it.",
        "capabilities": "What may be done there, in Vault's words.",
        "why": "What that is needed for.",
    }),
}  # fmt: skip
"""Of each dataclass: the name of its part, what it is, and its members."""

STEP: Final = {
    "path": PATH,
    "name": NAME,
    "reason": "Why.",
    "version": "The version of the record that the decision rests on; 0 where there is none.",
}
OF_STEPS: Final = {
    "keep": ("Nothing to do.", {"note": "What is worth a person's attention; empty where nothing is."}),
    "create": ("Register, and store the credential.", {
        "application": "What is registered.",
        "replaces": "The client id that the record names and Nexus no longer has; empty where it is new.",
    }),
    "update": ("Change fields in Nexus, facts in Vault, or both.", {
        "application": "What it will be.",
        "edits": "The registrations to change: the current one, then one whose grace is not over.",
        "facts": "The facts to change in Vault.",
        "notes": "What stops being managed.",
    }),
    "rotate": ("Register a second one beside the one that then retires.", {
        "application": "What is registered.",
        "client_id": "The client id that retires.",
        "grace_s": "For how many seconds it goes on working.",
        "adopts": "Whether the one that retires was registered by hand.",
    }),
    "back": ("Return to the credential that a rotation left behind.", {
        "client_id": "The client id that retires.",
        "former": "The one that is returned to.",
        "grace_s": "For how many seconds the one that retires goes on working.",
    }),
    "adopt": ("Take over an application that was registered by hand.", {
        "application": "What it will be.",
        "client_id": "The client id that is taken over.",
        "changes": "What is changed in Nexus.",
    }),
    "retire": ("Withdraw the credential, and archive the application.", {"client_id": "The client id that retires."}),
    "restore": ("Bring an archived application or a deleted version back.", {"client_id": "The client id."}),
    "expire": ("Archive the registration that a rotation left behind, its grace being over.", {
        "former": "That registration.",
    }),
    "recover": ("Finish or undo what an interrupted run left.", {
        "marked": "The half-made applications in Nexus.",
        "then": "The operation that follows if it has to be undone; empty for none.",
    }),
    "blocked": ("Nothing is done until a person decides.", {"hint": "The way out."}),
}  # fmt: skip
"""Of each operation: what it is, and the members that it has besides those of all steps."""
