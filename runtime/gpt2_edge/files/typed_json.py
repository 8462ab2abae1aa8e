"""JSON as frozen dataclasses: every value of the type that its field says."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

from gpt2_edge.untrusted import shown

# Far deeper than anything that is written here; what walks a value (asdict, json.dumps) recurses.
_DEPTH = 16


def typed(hint: Any, value: Any, where: str) -> Any:
    """`value` out of JSON as the type `hint`; ValueError, naming `where`, if it is another.

    hint: a dataclass (keys that it does not have are passed over), tuple[T, ...], dict[str, T],
    T | None, int, float, str or Any. Floats are finite, as JSON has no others.
    """
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        chosen = type(None) if value is None else arguments[0]
        if chosen in arguments:
            return None if value is None else typed(chosen, value, where)
    elif hint is Any:
        _check_plain(value, where, _DEPTH)
        return value
    elif origin is tuple and isinstance(value, list):
        return tuple(typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        return {key: typed(arguments[1], item, _at(where, key)) for key, item in value.items()}
    elif hint is float and type(value) in (int, float):
        return _finite(value, where)
    elif type(value) is hint:  # not isinstance: JSON's true is no number
        return value
    raise ValueError(f"{where} is {shown(value)}")


def _dataclass(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {shown(value)}")
    hints = typing.get_type_hints(kind)
    arguments = {}
    for entry in dataclasses.fields(kind):  # other keys may come with later minor versions
        if entry.name in value:
            arguments[entry.name] = typed(
                hints[entry.name], value[entry.name], f"{where}.{entry.name}"
            )
        elif entry.default is entry.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}.{entry.name} is missing")
    return kind(**arguments)


def _check_plain(value: Any, where: str, depth: int) -> None:
    """Raise ValueError for what a value of any type may not hold either."""
    if depth == 0:
        raise ValueError(f"{where} is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(item, _at(where, key) if depth == _DEPTH else where, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, where, depth - 1)
    elif isinstance(value, (int, float)):
        _finite(value, where)


def _finite(value: float, where: str) -> float:
    try:
        if math.isfinite(number := float(value)):
            return number
    except OverflowError:  # an integer of hundreds of digits
        pass
    raise ValueError(f"{where} is {shown(value)}, which is no finite number")


def _at(where: str, key: str) -> str:
    return f"{where}[{shown(key)}]"
