"""Go's standard library as Vault's clients meet it: JSON, times, durations and the words of their errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

SECOND = 1_000_000_000  # all times are nanoseconds since 1970, all durations whole seconds
LAST = 2**63 - 1  # the last moment, and the longest duration, that Go and SQLite can hold

_ESCAPED = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
_UNIT = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_DURATION = re.compile(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)")
_INTEGER = re.compile(r"[+-]?(\d+|0[xX][0-9a-fA-F]+)")
_TRUE, _FALSE = {"1", "t", "T", "true", "TRUE", "True"}, {"0", "f", "F", "false", "FALSE", "False"}

# Python's message for a fault, up to where it is the same for all, and Go's.
_FAULTS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name": "looking for beginning of object key string",
    "Expecting ':'": "after object key",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Invalid control character": "in string literal",
    "Invalid \\": "in string escape code",
}


class Malformed(ValueError):
    """A text Go cannot read, and what Go says of it."""


def encode(members: Mapping[str, Any], *, newline: bool = True) -> bytes:
    """A struct as JSON: its own members as given, those of the maps below sorted, `<`, `>` and `&` escaped."""
    text = "{" + ",".join(f"{_dump(name)}:{_dump(value)}" for name, value in members.items()) + "}"
    return (text + "\n" * newline).encode()


def _dump(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.translate(_ESCAPED)


def decode(body: bytes) -> Any:
    """The first JSON value of a body, None where there is none; Malformed with Go's words."""
    text = body.decode("utf-8", "replace").strip(" \t\r\n")
    if not text:
        return None
    try:
        value, end = _DECODER.raw_decode(text)
        value = _without_surrogates(value)
    except json.JSONDecodeError as error:
        raise Malformed(_explained(text, error)) from None
    except ValueError as error:  # what Python alone objects to, such as a number of 5,000 digits
        raise Malformed(str(error)) from None
    except RecursionError:
        raise Malformed("exceeded max depth") from None
    # Vault reads one value and one token more: another value may follow, a stray letter may not.
    rest = text[end:].lstrip(" \t\r\n")
    if rest and rest[0] not in '{["-0123456789tfn':
        raise Malformed(f"invalid character {_quoted(rest[0])} looking for beginning of value")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"invalid character {_quoted(name[0])} looking for beginning of value")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _explained(text: str, error: json.JSONDecodeError) -> str:
    at = error.pos + 1 if error.msg.startswith("Invalid \\") else error.pos
    if error.msg.startswith("Illegal trailing comma"):
        at = len(text) - len(text[at + 1 :].lstrip())
    if at >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    says = next((go for python, go in _FAULTS.items() if error.msg.startswith(python)), "")
    if not says:  # a comma is missing, and Python does not tell in what
        says = "after array element" if _in_array(text[:at]) else "after object key:value pair"
    return f"invalid character {_quoted(text[at])} {says}"


def _in_array(before: str) -> bool:
    bare = re.sub(r'"(?:\\.|[^"\\])*"', "", before)
    depth = 0
    for letter in reversed(bare):
        depth += {"]": 1, "}": 1, "[": -1, "{": -1}.get(letter, 0)
        if depth < 0:
            return letter == "["
    return False


def _quoted(letter: str) -> str:
    return "'" + letter.encode("unicode_escape").decode().replace("'", "\\'") + "'"


def _without_surrogates(value: Any) -> Any:
    """Go reads half a surrogate pair as U+FFFD; Python keeps it, and neither SQLite nor UTF-8 can hold it."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(item) for name, item in value.items()}
    return value


def kind_of(value: object) -> str:
    """The Go type a decoded JSON value has."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "json.Number"
    if isinstance(value, str):
        return "string"
    return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"


def integer(text: str) -> int:
    """What strconv.ParseInt reads."""
    if not _INTEGER.fullmatch(text):
        raise Malformed("strconv.ParseInt: invalid syntax")
    number = int(text, 16 if "x" in text.lower() else 10)
    if not -(2**63) <= number < 2**63:
        raise Malformed("strconv.ParseInt: value out of range")
    return number


def boolean(text: str) -> bool:
    """What strconv.ParseBool reads."""
    if text not in _TRUE | _FALSE:
        raise Malformed("strconv.ParseBool: invalid syntax")
    return text in _TRUE


def seconds(text: str) -> int:
    """A duration such as `90`, `1m30s` or Vault's own `2d`, without what is less than a second."""
    if not text:
        return 0
    if re.fullmatch(r"[+-]?\d{1,18}d?", text):
        return bounded(int(text.removesuffix("d")) * (86_400 if text.endswith("d") else 1))
    found = _DURATION.fullmatch(text)
    if not found:
        raise Malformed(f'time: invalid duration "{text}"')
    parts = re.findall(r"([\d.]+)([a-zµ]+)", found[2])
    total = int(sum(float(number) * _UNIT[unit] for number, unit in parts)) // SECOND
    return bounded(-total if found[1] == "-" else total)


def bounded(whole: int) -> int:
    """Seconds that Go can hold as nanoseconds."""
    if abs(whole) > LAST // SECOND:
        raise Malformed("could not parse duration from input")
    return whole


def duration(whole: int) -> str:
    """A duration as Go prints it: `0s`, `1m30s`, `24h0m0s`."""
    minutes, rest = divmod(abs(whole), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" * bool(hours) + f"{minutes}m" * bool(hours or minutes) + f"{rest}s"
    return "-" * (whole < 0) + text


def short_duration(whole: int) -> str:
    """A duration as Vault's warnings print it: `768h`, `1m`."""
    text = duration(whole)
    text = text.removesuffix("0s") if text.endswith("m0s") else text
    return text.removesuffix("0m") if text.endswith("h0m") else text


def quoted(text: str) -> str:
    """A text as Go's %q prints it."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else _escape(letter) for letter in plain) + '"'


def _escape(letter: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}.get(letter)
    code = ord(letter)
    return short or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def timestamp(moment: int) -> str:
    """A time as RFC 3339 with nanoseconds, zeros at its end dropped."""
    whole, rest = divmod(moment, SECOND)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"
