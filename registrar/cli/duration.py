"""A length of time on the command line, which every command reads alike."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from registrar.doctor import length


class Duration(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has none
    """A length of time such as 24h, 90d or 30m; 0 for none."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = length(value)
        if found is None:
            self.fail(f"{value!r} is not a length of time such as 24h or 90d", param, ctx)
        return found
