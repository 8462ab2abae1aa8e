"""How much a JSON schema may ask for at one place of a text, before a grammar is made of it.

llguidance intersects what holds at the same place: patterns and formats of `allOf` and of what it
merges with it. Whether anything matches all of them it finds out in time and memory that double
with each pattern, 28 seconds and 2 GB for 18, and no limit of its own ends that. Numbers that have
to be multiples take time by the least common multiple. So both are counted here first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown

MOST_PATTERNS = 8  # 12 take 0.05 s, and each one more twice as long
MOST_MULTIPLE = 100_000  # takes a second
_MOST_STEPS = 200_000  # of this search, half a second

_ALTERNATIVES = ("anyOf", "oneOf")
_TEXT = ("pattern", "format")
# What holds for properties of any name.
_ANY = ("additionalProperties", "unevaluatedProperties", "patternProperties")

# What says nothing of the text beside alternatives.
_SILENT = {"type", "title", "description", "default", "examples", "$defs", "definitions", "$schema"}

Schema = Mapping[str, Any]
Demands = tuple[frozenset[str], int]  # patterns and formats; of what a number is a multiple
_NONE: Demands = (frozenset(), 1)


def check_schema(schema: Any) -> None:
    """Raise GenerationError for a JSON schema that asks for too much at one place."""
    try:
        _Search(schema).run()
    except RecursionError as error:
        raise _too_large("it is nested too deeply") from error


class _Search:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = 0
        self._seen: set[frozenset[int]] = set()
        # What a $ref may name otherwise than by its place; which of them it means does not matter.
        self._named = [
            part for part in self._parts(root) if {"$id", "$anchor", "$dynamicAnchor"} & part.keys()
        ]

    def run(self) -> None:
        for part in self._parts(self._root):
            self._check([part])

    def _parts(self, root: Any) -> Iterator[Schema]:
        """Every schema that stands in `root`."""
        left = [root]
        while left:
            part = left.pop()
            if not isinstance(part, dict):
                continue
            self._step()
            yield part
            for value in part.values():
                if isinstance(value, dict):
                    left += [value, *value.values()]
                elif isinstance(value, list):
                    left += value

    def _check(self, merged: Sequence[Schema]) -> None:
        """Look at what holds together at one place, and at the places inside it."""
        patterns, multiple = _NONE
        for schema in merged:
            more, factor = self._demands(schema, ())
            patterns, multiple = patterns | more, math.lcm(multiple, factor)
        if len(patterns) > MOST_PATTERNS:
            raise _too_large(f"{len(patterns)} patterns and formats hold at one place")
        if multiple > MOST_MULTIPLE:
            raise _too_large(f"a number has to be a multiple of {shown(multiple, 20)}")
        together = [part for schema in merged for part in self._together(schema)]
        key = frozenset(map(id, together))
        if len(key) < 2 or key in self._seen:
            return  # what is inside a lone one is looked at by itself
        self._seen.add(key)
        for inside in self._inside(together):
            if len(inside) > 1:
                self._check(inside)

    def _demands(self, schema: Any, refs: tuple[int, ...]) -> Demands:
        """What `schema` asks for where it holds; of alternatives, the most."""
        self._step()
        if not isinstance(schema, dict) or id(schema) in refs:
            return _NONE
        refs = (*refs, id(schema))
        patterns = frozenset(f"{word} {schema[word]}" for word in _TEXT if word in schema)
        multiple = _multiple(schema.get("multipleOf"))
        for part in [*_list(schema.get("allOf")), *self._referred(schema)]:
            more, factor = self._demands(part, refs)
            patterns, multiple = patterns | more, math.lcm(multiple, factor)
        for keyword in _ALTERNATIVES:
            found = [self._demands(part, refs) for part in _list(schema.get(keyword))]
            patterns |= max((more for more, _ in found), key=len, default=_NONE[0])
            multiple = math.lcm(multiple, max((factor for _, factor in found), default=1))
        return patterns, multiple

    def _together(self, schema: Any) -> list[Schema]:
        """The schemas that may hold where `schema` does; alternatives only beside others."""
        found: list[Schema] = []
        left, ids = [schema], set()
        while left:
            part = left.pop()
            self._step()
            if not isinstance(part, dict) or id(part) in ids:
                continue
            ids.add(id(part))
            found.append(part)
            left += [*_list(part.get("allOf")), *self._referred(part)]
            alternatives = [each for name in _ALTERNATIVES for each in _list(part.get(name))]
            if len(part.keys() - _SILENT) > 1 or len(found) > 1 or left:
                left += alternatives
        return found

    def _inside(self, together: Sequence[Schema]) -> Iterator[Sequence[Schema]]:
        """The places inside schemas that hold together, each with what holds there."""
        anywhere = [
            child
            for schema in together
            for keyword in _ANY
            for child in (
                _values(schema.get(keyword))
                if keyword == "patternProperties"
                else [schema.get(keyword)]
            )
            if isinstance(child, dict)
        ]
        names = {name for schema in together for name in _dict(schema.get("properties"))}
        for name in names:
            self._step()
            children = [_dict(schema.get("properties")).get(name) for schema in together]
            yield [child for child in children if isinstance(child, dict)] + anywhere
        yield anywhere
        rest = [s["items"] for s in together if isinstance(s.get("items"), dict)]
        longest = max((len(_list(schema.get("prefixItems"))) for schema in together), default=0)
        for place in range(longest):
            self._step()
            lists = [_list(schema.get("prefixItems")) for schema in together]
            here = [each[place] for each in lists if len(each) > place]
            yield [child for child in here if isinstance(child, dict)] + rest
        yield rest

    def _referred(self, schema: Schema) -> list[Any]:
        """What the $ref of `schema` may name."""
        found: list[Any] = []
        for keyword in ("$ref", "$dynamicRef"):
            name = schema.get(keyword)
            if not isinstance(name, str):
                continue
            target = self._at(name[1:]) if name == "#" or name.startswith("#/") else None
            found += [target] if target is not None else self._named
        return found

    def _at(self, pointer: str) -> Any:
        """What lies at a JSON pointer; None where nothing does."""
        place = self._root
        for step in pointer.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict):
                place = place.get(name)
            elif isinstance(place, list) and name.isdecimal() and len(name) < 9:
                place = place[int(name)] if int(name) < len(place) else None
            else:
                return None
        return place

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise _too_large("too much of it holds at one place")


def _multiple(value: Any) -> int:
    """Of what whole number the digits of a number are a multiple; its last zeros cost nothing."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return 1
        value = Fraction(str(value)).numerator
    if type(value) is not int:
        return 1
    while value and value % 10 == 0:
        value //= 10
    return abs(value) or 1


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _values(value: Any) -> list[Any]:
    return list(_dict(value).values())


def _too_large(why: str) -> GenerationError:
    return GenerationError(f"json_schema is too large: {why}; ask for less there")
