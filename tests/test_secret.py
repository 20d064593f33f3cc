"""A Secret shows itself nowhere, and a text that quotes one can be cleaned of it."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest
import yaml

from registrar.model import Credential
from registrar.secret import MASK, Secret, hide

RAW = 'canary "quoted" é/+'
SECRET = Secret(RAW)


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:40}",
        "%s" % SECRET,  # noqa: UP031 (one of the ways people print)
        str([SECRET]),
        str(Credential("id", SECRET)),
        str(dataclasses.asdict(Credential("id", SECRET))),
        str(copy.deepcopy({"a": SECRET})),
    ],
)
def test_it_masks_itself(shown: str) -> None:
    assert "canary" not in shown
    assert MASK in shown


def test_it_is_not_serialised() -> None:
    for refuse in (json.dumps, yaml.safe_dump, pickle.dumps):
        with pytest.raises((TypeError, yaml.YAMLError)):
            refuse(SECRET)


def test_it_is_opened_on_purpose_only() -> None:
    assert SECRET.reveal() == RAW
    assert not hasattr(SECRET, "__dict__")
    with pytest.raises(TypeError):
        hash(SECRET)


def test_it_compares_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")


def test_a_text_is_cleaned_of_every_spelling() -> None:
    quoted = json.dumps({"a": RAW, "b": f"?x={'canary%20%22quoted%22%20%C3%A9/%2B'}"}).encode()
    cleaned = hide(quoted, [SECRET, Secret("")])
    assert b"canary" not in cleaned
    assert json.loads(cleaned) == {"a": MASK, "b": f"?x={MASK}"}
