"""Stop strings: the text ends before them, and no part of them is shown first."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2_edge.text.stopping import StopStrings

# Few letters, so that stop strings occur, overlap themselves and begin without going on.
texts = st.text("ab", max_size=20)
pieces_of_text = st.lists(st.text("ab", max_size=4), max_size=10)
strings = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3).map(tuple)


def pushed(stops: StopStrings, pieces: Iterable[str]) -> list[str]:
    """What each piece lets be shown, up to the end of the text, which is the last element."""
    shown = []
    for piece in pieces:
        shown.append(stops.push(piece))
        if stops.found:
            return shown
    return [*shown, stops.finish()]


def test_without_stop_strings_all_text_passes_at_once() -> None:
    assert pushed(StopStrings(()), ["one ", "two"]) == ["one ", "two", ""]


def test_the_text_ends_before_the_stop_string() -> None:
    stops = StopStrings(("STOP",))
    assert pushed(stops, ["one STOP two"]) == ["one "]
    assert stops.found


def test_nothing_comes_behind_a_stop_string_that_was_found() -> None:
    stops = StopStrings(("STOP",))
    stops.push("one ST")
    stops.push("OP two")
    assert stops.finish() == ""


def test_a_stop_string_across_pieces() -> None:
    stops = StopStrings(("STOP",))
    assert pushed(stops, ["one S", "T", "OP two"]) == ["one ", "", ""]
    assert stops.found


def test_a_beginning_that_does_not_go_on_is_shown_late() -> None:
    stops = StopStrings(("STOP",))
    assert pushed(stops, ["a S", "TO", "RY"]) == ["a ", "", "STORY", ""]
    assert not stops.found


def test_a_beginning_at_the_end_of_the_text_is_shown() -> None:
    assert pushed(StopStrings(("\n\n",)), ["one\n"]) == ["one", "\n"]


def test_only_what_may_still_become_the_stop_string_is_held_back() -> None:
    assert pushed(StopStrings(("aab",)), ["aaa", "a", "b"]) == ["a", "a", ""]


def test_the_first_of_several_stop_strings_counts() -> None:
    assert pushed(StopStrings(("d", "b")), ["abcd"]) == ["a"]


def test_the_longest_beginning_of_several_is_held_back() -> None:
    stops = StopStrings(("bcx", "cdef"))
    assert pushed(stops, ["abc", "def"]) == ["a", "b"]
    assert stops.found


def test_of_two_that_start_together_the_shorter_ends_the_text_first() -> None:
    stops = StopStrings(("ab", "abc"))
    assert pushed(stops, ["xab", "c"]) == ["x"]


@pytest.mark.parametrize("text", ["", "a", "no such thing"])
def test_a_text_without_the_stop_string_is_whole(text: str) -> None:
    stops = StopStrings(("xyz",))
    assert "".join(pushed(stops, text)) == text
    assert not stops.found


@settings(max_examples=300, deadline=None)
@given(pieces_of_text, st.text("ab", min_size=1, max_size=4))
def test_however_a_text_is_cut_it_ends_before_the_first_occurrence(
    pieces: list[str], string: str
) -> None:
    text = "".join(pieces)
    stops = StopStrings((string,))
    assert "".join(pushed(stops, pieces)) == text.partition(string)[0]
    assert stops.found == (string in text)


@settings(max_examples=300, deadline=None)
@given(pieces_of_text, strings)
def test_of_several_the_earliest_counts_in_the_first_text_that_holds_any(
    pieces: list[str], several: tuple[str, ...]
) -> None:
    stops = StopStrings(several)
    emitted = "".join(pushed(stops, pieces))
    text, expected = "", None
    for piece in pieces:
        text += piece
        starts = [text.find(string) for string in several if string in text]
        if starts:
            expected = text[: min(starts)]
            break
    assert stops.found == (expected is not None)
    assert emitted == (text if expected is None else expected)


@settings(max_examples=200, deadline=None)
@given(texts, strings)
def test_no_piece_shows_the_beginning_of_a_stop_string(text: str, several: tuple[str, ...]) -> None:
    stops = StopStrings(several)
    read = shown = ""
    for character in text:
        read += character
        shown += stops.push(character)
        if stops.found:
            break
        held = len(read) - len(shown)
        # The shortest end that is held back and the longest that must be are one and the same.
        must = [n for n in range(1, len(read) + 1) if any(s.startswith(read[-n:]) for s in several)]
        assert held == max(must, default=0)
