"""The waivers among the comments of a YAML text, which a parser throws away.

Must never take for a comment what is part of a value: a `#` inside quotes or a block is told by the parser's own marks.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final, cast

import yaml
from yaml.events import ScalarEvent

from registrar.lint.waivers import MARK, Waiver

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what YAML 1.1 counts as the end of a line


def waivers(text: str) -> tuple[Waiver, ...]:
    """The waivers of a text that YAML can read, by place; none where it cannot, since nothing is judged there."""
    if not MARK.search(text):
        return ()
    try:
        values = _values(text)
    except (yaml.YAMLError, ValueError, OverflowError):
        return ()
    begins = [0, *(match.end() for match in _BREAK.finditer(text))]
    starts = [start for start, _ in values]
    found = []
    for match in MARK.finditer(text):
        start = match.start()
        line = bisect_right(begins, start)
        before = text[begins[line - 1] : start]
        value = bisect_right(starts, start) - 1
        inside = value >= 0 and start < values[value][1]
        # A line that is a comment from its start, and does not start with the mark, is an entry out of use.
        if inside or before[-1:].strip() or before.lstrip().startswith("#"):
            continue
        end = _BREAK.search(text, start)
        found.append(Waiver.parse(text[start : end.start() if end else None], line, len(before) + 1))
    return tuple(found)


def _values(text: str) -> list[tuple[int, int]]:
    """Where each value's own characters begin and end in the text, both in characters."""
    spans = []
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    for event in events:
        if type(event) is ScalarEvent:
            start_mark, end_mark = cast(Any, event).start_mark, cast(Any, event).end_mark  # none is None
            start: int = start_mark.index
            if event.style in ("|", ">"):
                # The line of the indicator may end in a comment; what is below it is text.
                head = _BREAK.search(text, start)
                start = head.end() if head else len(text)
            spans.append((start, end_mark.index))
    return spans
