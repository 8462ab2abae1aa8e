"""examples/autocomplete.py, typed into through a pipe."""

from __future__ import annotations

import pytest

from examples.running import load
from gpt2_edge import Generator

pytest.importorskip("prompt_toolkit", reason="needs prompt_toolkit, of the extra [examples]")

RIGHT, ENTER = "\x1b[C", "\r"


@pytest.mark.parametrize(("typed", "joined"), [("It was late in the", " "), ("It was late ", "")])
def test_the_right_arrow_takes_the_continuation(
    generator: Generator, typed: str, joined: str
) -> None:
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    with create_pipe_input() as pipe:
        session = load("autocomplete.py").new_session(generator, pipe, DummyOutput())
        taken = []

        def take(buffer: object) -> None:  # as soon as it stands there, whenever that is
            if session.default_buffer.text == typed and not taken:
                taken.append(session.default_buffer.suggestion)
                pipe.send_text(RIGHT + ENTER)

        session.default_buffer.on_suggestion_set += take
        pipe.send_text(typed)
        text = session.prompt()
    expected = str(generator.generate(typed.rstrip(), max_new_tokens=8, stop_strings=("\n",)))
    assert len(expected.split()) >= 3
    assert text == typed.rstrip() + expected
    assert taken[0].text == joined + expected.lstrip()


def test_nothing_is_suggested_for_no_text_and_for_too_much(generator: Generator) -> None:
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.document import Document

    continuation = load("autocomplete.py").Continuation(generator)
    for text in ("", "  ", "word " * 600):
        assert continuation.get_suggestion(Buffer(document=Document(text)), Document(text)) is None
