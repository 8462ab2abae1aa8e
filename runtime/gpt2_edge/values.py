"""What counts as a whole number, a number or a truth value where a caller gives one.

NumPy's scalars do, so that what comes out of an array can be passed on. A bool is no number, a
float no whole number and a string neither: they are mistakes, and are told as such.
"""

from __future__ import annotations

import math
import operator
from numbers import Real
from typing import Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown


def whole_number(value: Any) -> int | None:
    """`value` as an int; None if it is no whole number."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or _is_numpy_bool(value):
        return None
    try:
        # Every kind of integer has __index__, NumPy's too; before NumPy 2 its bool has it as well.
        return operator.index(value)
    except (TypeError, ValueError):
        return None


def real_number(value: Any) -> float | None:
    """`value` as a float, infinite where it is too large for one; None if it is no number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number: Any = value
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def truth_value(value: Any) -> bool | None:
    """`value` as a bool; None if it is none, as 0, 1 and "yes" are not."""
    return bool(value) if isinstance(value, bool) or _is_numpy_bool(value) else None


def switch(value: Any, name: str) -> bool:
    """`value` of the argument `name` as a bool; GenerationError if it is none."""
    on = truth_value(value)
    if on is None:
        raise GenerationError(f"{name} is {shown(value)}; it must be True or False")
    return on


def _is_numpy_bool(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")
