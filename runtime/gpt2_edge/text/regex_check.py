"""Whether a regular expression may take exponential time."""

from __future__ import annotations

import re

_LONGEST = 20_000
# Quantifiers that may repeat more than once; "?" and its forms repeat nothing.
_QUANTIFIER = re.compile(r"[*+]|\{\d*(,?)\d*\}")


def is_risky(pattern: str) -> bool:
    """Whether a group that repeats holds a repetition or a choice, as in (a+)+ or (a|aa)*.

    Those are the expressions that a backtracking engine can take exponential time for. Some of them
    are harmless in fact; the tokenizers that models are published with have none.
    """
    if len(pattern) > _LONGEST:
        return True
    # One entry per open group: whether something in it repeats or is a choice.
    open_groups = [False]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "\\":
            at += 1
        elif character == "[":
            at = _end_of_class(pattern, at)
        elif character == "(":
            open_groups.append(False)
        elif character == "|":
            open_groups[-1] = True
        elif character == ")" and len(open_groups) > 1:
            inner = open_groups.pop()
            repeats = _repeats(pattern, at)
            if inner and repeats:
                return True
            open_groups[-1] = open_groups[-1] or inner or repeats
        elif character in "*+{" and _repeats(pattern, at - 1):
            open_groups[-1] = True
    return False


def _repeats(pattern: str, at: int) -> bool:
    found = _QUANTIFIER.match(pattern, at)
    return found is not None and found[0] not in ("{1}", "{0}", "{0,1}", "{,1}")


def _end_of_class(pattern: str, at: int) -> int:
    """The place behind a character class whose content begins at `at`; classes nest."""
    depth = 1
    if pattern.startswith("^", at):
        at += 1
    if pattern.startswith("]", at):
        at += 1
    while at < len(pattern) and depth:
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
        elif pattern[at] == "]":
            depth -= 1
        at += 1
    return at
