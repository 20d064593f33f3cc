"""The contract of every JSON document that registrar prints, as JSON Schema (draft 2020-12), one for each `kind`.

A document begins with `schema_version` and `kind`. Every member that a schema requires is always there; null and the
empty text are values with a meaning, which its description tells.

    compatible          a new kind; a new member; a new word where words are listed; an optional member always there
    raises the version  a member that goes, or gets another name, type, format or meaning; a required one that may be
                        missing; a word that goes or comes to mean something else

So whoever reads a document ignores members that they do not know, and takes a word that they do not know for one that a
person has to look at. The schemas say the same: they forbid no further members. The tests do, and validate every
document that they see, so that nothing is printed that is not described.

Types, fields and words are read from the dataclasses and enums that are printed; only their meaning is written here.
Pure. Must never be imported by what it describes.
"""

from __future__ import annotations

from registrar.schemas.documents import KINDS, schema

__all__ = ["KINDS", "schema"]
