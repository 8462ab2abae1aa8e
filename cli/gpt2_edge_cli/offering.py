"""The values that an option is known to take, for the shell's completion.

argparse's own `choices` would answer a wrong value before the code that knows more of it does, so
these are noted beside the option and refuse nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

_NOTE = "offered_values"


def offer(action: argparse.Action, values: Iterable[str]) -> None:
    """Have a shell complete `values` where `action`, an option or a place, takes one."""
    setattr(action, _NOTE, tuple(values))


def offered(action: argparse.Action) -> tuple[str, ...]:
    """What `offer` was given, or argparse's choices; nothing for an action without either."""
    values: tuple[str, ...] = getattr(action, _NOTE, ())
    return values or tuple(map(str, action.choices or ()))
