"""JSON that is spoiled: a value here and there, or the bytes themselves."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

_RAW = "\x00raw\x00"  # a string that stands for what json.dumps would not write

ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 1e300, 5e-324, 2**31, 2**32, -(2**31), 2**53,
    2**63, 2**64, 10**12, 10**30, 10**400, "", "0", "1", "-1", "gpt2", "x" * 5000, "\x1b[2J\n\r\0",
    "\x9b31m\u202e\u2028", "{i}", "{0}", "{i.__class__}", "%s%n", "../x", "..", ".", "/etc/passwd",
    "a/b", "a\\b", "C:x", "con", "\ud800", "é" * 300, [], {}, [[]], [None], [0] * 3000,
    {"a": {"b": [1, {}]}}, {"": 0}, {"\x1b": 1}, {"x" * 3000: 1},
]  # fmt: skip
RAW_VALUES = [
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "-" + "9" * 5000,
    "1." + "3" * 5000, "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000,
    '"\\ud800"', '"\\u0000"', "01", "+1",
    "'a'", "//", "undefined", '{"a":1,"a":2}', '"\t"',
]  # fmt: skip


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in the tree."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        item = stack.pop()
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        for key, child in list(pairs)[:400]:
            found.append((item, key))
            if isinstance(child, (dict, list)):
                stack.append(child)
    return found


@st.composite
def spoiled_tree(draw: st.DrawFn, document: Any) -> bytes:
    """The JSON text of `document` with one to three values changed, moved, doubled or taken out."""
    tree = copy.deepcopy(document)
    raw: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        places = _places(tree)
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        verb = draw(st.sampled_from(["value", "raw", "delete", "rename", "copy", "near", "wrap"]))
        if verb == "value":
            container[key] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
        elif verb == "raw":
            container[key] = f"{_RAW}{len(raw)}"
            raw.append(draw(st.sampled_from(RAW_VALUES)))
        elif verb == "delete":
            del container[key]
        elif verb == "rename" and isinstance(container, dict):
            new = draw(
                st.sampled_from(["", "x", "\x1b[2J", "x" * 3000, f"{key} ", str(key).upper()])
            )
            container[new] = container.pop(key)
        elif verb == "copy":
            other, place = places[draw(st.integers(0, len(places) - 1))]
            container[key] = copy.deepcopy(other[place])
        elif verb == "near" and type(container[key]) in (int, float):
            container[key] += draw(st.sampled_from([-1, 1, 0.5, 1000]))
        elif verb == "wrap":
            container[key] = [container[key]]
    text = json.dumps(tree)
    for number, value in enumerate(raw):
        text = text.replace(json.dumps(f"{_RAW}{number}"), value)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def spoiled_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` cut, with bits flipped, bytes put in, or a part of it doubled."""
    spoiled = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(spoiled) - 1, 0)))
        verb = draw(st.sampled_from(["flip", "flip", "cut", "insert", "double", "remove"]))
        if verb == "flip" and spoiled:
            spoiled[at] ^= 1 << draw(st.integers(0, 7))
        elif verb == "cut":
            del spoiled[at:]
        elif verb == "insert":
            extra = [
                b"\0",
                b"\xff\xfe",
                b'"',
                b"{",
                b"]",
                b",",
                b"\xef\xbb\xbf",
                b"9" * 5000,
                b"-",
                b"e9",
            ]
            spoiled[at:at] = draw(st.sampled_from(extra))
        elif verb == "double":
            spoiled[at:at] = spoiled[at : at + 200]
        else:
            del spoiled[at : at + draw(st.integers(1, 50))]
    return bytes(spoiled)


def spoiled(document: Any) -> st.SearchStrategy[bytes]:
    """Three of four by the tree, the others by the bytes."""
    tree = spoiled_tree(document)
    return st.one_of(tree, tree, tree, spoiled_bytes(json.dumps(document).encode()))
