"""gpt2-edge next, where a person chooses what comes next."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.command import Output
from gpt2_edge import ContextOverflowError, GenerationConfig, Generator
from gpt2_edge.decode.rows import SharedRows
from gpt2_edge_cli.choosing.keys import Command, Keys, command_of
from gpt2_edge_cli.choosing.screen import rows
from gpt2_edge_cli.choosing.text import ChosenText
from gpt2_edge_cli.main import main
from gpt2_edge_cli.terminal import Screen, columns, cut, wrapped

PROMPT = "What do you"


@pytest.fixture(scope="module")
def generator(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32)


def chosen(generator: Generator, count: int = 4, **settings: float | int | None) -> ChosenText:
    config = GenerationConfig(**{"seed": 3, "top_k": 0} | settings)  # type: ignore[arg-type]
    return ChosenText(generator, generator.encode(PROMPT), count, config)


def test_options_are_those_of_the_text_so_far(generator: Generator) -> None:
    text = chosen(generator)
    for number in (1, 3, 2):
        expected = generator.next_tokens(text.ids, 4)
        assert [option.id for option in text.options] == [option.id for option in expected]
        text.take(number)
        assert text.ids[-1] == expected[number - 1].id
    assert text.text == generator.decode(text.ids)


def test_a_choice_costs_one_step(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    step = SharedRows.step

    def counted(
        self: SharedRows, which: list[int], tokens: list[list[int]], keep: int = 1
    ) -> object:
        fed.append(len(tokens[0]))
        return step(self, which, tokens, keep)

    monkeypatch.setattr(SharedRows, "step", counted)
    text = chosen(generator)
    assert text.options
    assert fed == [len(text.ids)]
    for do in (lambda: text.take(1), lambda: text.take(2), text.draw, text.draw):
        fed.clear()
        do()
        assert text.options
        assert fed == [1]
    fed.clear()
    text.undo()
    text.undo()
    assert text.options
    assert fed == []  # they were shown before
    text.take(3)
    assert text.options
    assert fed == [1]


def test_undo_goes_back_to_the_prompt_and_no_further(generator: Generator) -> None:
    text = chosen(generator)
    text.take(1)
    text.add(" under the")
    text.draw()
    assert [text.undo() for _ in range(4)] == [True, True, True, False]
    assert text.text == PROMPT


def test_draws_are_those_of_the_seed_and_the_settings(generator: Generator) -> None:
    def drawn(**settings: float | int) -> list[int]:
        text = chosen(generator, **settings)
        for _ in range(6):
            text.draw()
        return text.ids

    assert drawn(seed=5) == drawn(seed=5) != drawn(seed=6)
    result = generator.generate(PROMPT, max_new_tokens=6, seed=5, top_k=0)
    assert tuple(drawn(seed=5)[-6:]) == result.ids
    greedy = generator.generate(PROMPT, max_new_tokens=6)
    assert tuple(drawn(seed=5, top_k=1)[-6:]) == greedy.ids
    assert tuple(drawn(temperature=0)[-6:]) == greedy.ids


def test_own_words_are_text_whatever_they_look_like(generator: Generator) -> None:
    text = chosen(generator)
    text.add("<|endoftext|>")
    assert 0 not in text.ids
    assert text.text == PROMPT + "<|endoftext|>"


def test_a_special_token_that_was_chosen_is_shown(generator: Generator) -> None:
    ids = [*generator.encode("x"), 0, *generator.encode(" y")]
    text = ChosenText(generator, ids, 1, GenerationConfig(top_k=0))
    assert text.text == "x<|endoftext|> y"


def test_the_context_ends(random_package: Callable[..., Path]) -> None:
    generator = Generator.load(random_package(n_positions=16))
    text = ChosenText(generator, [1] * 15, 2, GenerationConfig(top_k=0))
    text.take(1)
    assert len(text.options) == 2
    with pytest.raises(ContextOverflowError, match="holds 16 tokens, and no more"):
        text.take(1)
    assert len(text.ids) == 16
    assert text.text.startswith("1,1,")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", ("nothing", "")),
        ("1", ("take", "1")),
        ("9", ("take", "9")),
        ("0", ("add", "0")),
        ("12", ("add", "12")),
        ("u", ("undo", "")),
        ("r", ("draw", "")),
        ("q", ("end", "")),
        (" u", ("add", " u")),
        ("²", ("add", "²")),
        ("quick", ("add", "quick")),
    ],
)
def test_commands_on_lines(line: str, command: tuple[str, str]) -> None:
    assert command_of(line) == command


@pytest.mark.parametrize(
    ("keys", "command", "echo"),
    [
        ("3", ("take", "3"), ""),
        ("u", ("undo", ""), ""),
        ("", ("end", ""), ""),
        ("\x04", ("end", ""), ""),
        ("\n", ("nothing", ""), ""),
        ("\x00", ("nothing", ""), ""),
        (" sea\n", ("add", " sea"), " sea"),
        ("\tunder\r", ("add", "under"), "under"),
        ("\t\n", ("nothing", ""), ""),
        ("ab\x7f\bcd\n", ("nothing", ""), "ab" + "\b \b" * 2),
        ("a\x7f1", ("nothing", ""), "a\b \b"),
        ("海a\x15", ("nothing", ""), "海a" + "\b \b" * 3),
        (" a\x1b\x07b\n", ("add", " ab"), " ab"),
        (" no end", ("add", " no end"), " no end"),
    ],
)
def test_keys(keys: str, command: tuple[str, str], echo: str) -> None:
    waiting, shown = list(keys), []
    found = Keys(lambda: waiting.pop(0) if waiting else "", shown.append).next()
    assert found == Command(*command)  # type: ignore[arg-type]
    assert "".join(shown) == echo


def test_lines_of_standard_input(ok: Output, sample_fp32: Path, generator: Generator) -> None:
    first = generator.next_tokens(PROMPT, 2)
    output = ok("next", sample_fp32, PROMPT, "-i", "-k", 2, stdin="2\nu\n1\n the sea\n3\nq\n1\n")
    assert output.startswith(f"{PROMPT}\n\n1  {100 * first[0].probability:5.1f}%  ")
    assert "there is no option 3" in output
    assert output.endswith(f"\n{PROMPT}{first[0].text} the sea\n")
    assert ok("next", sample_fp32, PROMPT, "-i", stdin=b"\xff\n").endswith(f"\n{PROMPT}\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x -i --json", "-i is for people"),
        ("x -i -k 10", "so -i has at most 9"),
        ("x -i -k 0", "it must be at least 1"),
        ("-i", "give the text as an argument"),
        ("-f - -i", "give the text as an argument"),
        ("x --seed 1", "a list is the same each time"),
        ("x -i --temperature -1", "temperature is -1.0"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str], sample_fp32: Path, line: str, expected: str
) -> None:
    assert main(["next", str(sample_fp32), *line.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err
    assert output.err.count("\n") == 1


def test_columns_of_letters_of_all_kinds() -> None:
    assert [columns(text) for text in ("", "abc", "海", "e\u0301", "\u200d")] == [0, 3, 2, 1, 0]
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"
    assert cut("海海海", 4) == "海…"
    assert wrapped("abcdef\n\nx", 4) == ["abcd", "ef", "", "x"]
    assert wrapped("海海海", 3) == ["海", "海", "海"]


@pytest.mark.parametrize("width", [20, 40, 79, 200])
def test_rows_fit_the_terminal(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    screen = Screen()
    screen.is_styled = True
    for prompt in (PROMPT, "海", "\n"):
        for row in rows(generator.next_tokens(prompt, 9), screen, width):
            assert columns(row) <= width
            assert row.isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
class TestAtTerminal:
    def test_keys_choose_and_the_text_is_there_at_the_end(
        self, sample_fp32: Path, generator: Generator
    ) -> None:
        from cli.terminal import AtTerminal

        first = generator.next_tokens(PROMPT, 9)
        second = generator.next_tokens([*generator.encode(PROMPT), first[1].id], 9)
        with AtTerminal("next", sample_fp32, PROMPT) as terminal:
            frame = terminal.expect("words and Enter add them\n> ")
            assert frame.startswith(f"{PROMPT}\n\n1 ")
            assert re.search(rf'1  +{100 * first[0].probability:.1f}%  █{{20}}  "', frame)
            assert frame.count("%") == 9
            terminal.press("2")
            frame = terminal.expect("\n> ")
            assert frame.startswith("\x1b[12F\x1b[J")  # the frame is taken away
            assert f"{PROMPT}{first[1].text}\n" in frame
            assert f"{100 * second[0].probability:.1f}%" in frame
            terminal.press(" the sea\n")
            terminal.expect(f"{PROMPT}{first[1].text} the sea\n(?s:.*)\n> ")
            terminal.press("u")
            terminal.expect(f"J{PROMPT}{first[1].text}\n(?s:.*)\n> ")
            terminal.press("uu")
            terminal.expect("nothing is left to undo\n> ")
            terminal.press("1q")
            assert terminal.end() == 0
            assert terminal.shown.endswith(f"\x1b[J{PROMPT}{first[0].text}\n")

    def test_nothing_steers_a_terminal(self, sample_fp32: Path) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("next", sample_fp32, "a\x1b]0;x\x07\x9bb", NO_COLOR="1") as terminal:
            frame = terminal.expect("\n> ")
            assert frame.startswith("a\\x1b]0;x\\x07\\x9bb\n")
            terminal.press("1")
            terminal.expect("\n> ")
            terminal.press(" \x1b[31m\x07red\n")
            terminal.expect("red\n(?s:.*)\n> ")
            terminal.press("q")
            assert terminal.end() == 0
            assert "\x1b" not in terminal.shown
            assert "█" not in terminal.shown

    def test_a_narrow_terminal(self, sample_fp32: Path) -> None:
        from cli.terminal import AtTerminal

        text = "The man in the boat said that he would not go home before the night was over"
        with AtTerminal("next", sample_fp32, text, columns=40, rows=12) as terminal:
            frame = terminal.expect("\n> ").split("\n")
            assert all(columns(line) < 40 for line in frame)
            assert len(frame) <= 13
            terminal.press("q")
            assert terminal.end() == 0
            assert text in terminal.shown

    def test_ctrl_c_gives_the_terminal_back(self, sample_fp32: Path) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("next", sample_fp32, PROMPT) as terminal:
            terminal.expect("\n> ")
            before = terminal.echoes()
            terminal.interrupt()
            assert terminal.end() == 130
            assert (before, terminal.echoes()) == (False, True)
            assert terminal.shown.endswith("gpt2-edge: interrupted\n")

    def test_a_list_is_asked_for_by_k(self, sample_fp32: Path) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("next", sample_fp32, PROMPT, "-k", 3) as terminal:
            assert terminal.end() == 0
            assert terminal.shown.count("\n") == 3
