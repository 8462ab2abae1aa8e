"""gpt2-edge chat."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import GenerationError, Generator
from gpt2_edge.text.chat import KINDS
from gpt2_edge.text.turns import EosTurns, PlainTurns
from gpt2_edge_cli.chatting.conversation import Conversation
from gpt2_edge_cli.interrupt import ChatInterrupt
from gpt2_edge_cli.main import main
from gpt2_edge_cli.verbs.chat import _KINDS
from helpers import rewrite_package

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def generator(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32)


def conversation(generator: Generator, kind: str = "eos", **settings: Any) -> Conversation:
    assert generator.tokenizer is not None
    turns = (
        EosTurns(generator.tokenizer, 0) if kind == "eos" else PlainTurns(generator.tokenizer, (0,))
    )
    return Conversation(generator, turns, {"max_new_tokens": 12} | settings)


def never() -> bool:
    return False


@pytest.fixture
def chat(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, sample_fp32: Path
) -> Callable[..., tuple[str, str]]:
    """Answers to lines of standard input, and what is said on standard error."""

    def run(lines: str, *arguments: object, status: int = 0) -> tuple[str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert main(["chat", str(sample_fp32), *map(str, arguments)]) == status
        output = capsys.readouterr()
        return output.out, output.err

    return run


@pytest.mark.parametrize("kind", ["eos", "plain"])
def test_a_turn_reads_only_its_own_tokens(generator: Generator, kind: str) -> None:
    assert generator.tokenizer is not None
    chat = conversation(generator, kind, seed=5)
    for number in range(16):
        message = f"What do you think of number {number}?"
        own = len(generator.tokenizer.encode(f"\n{message}"))
        result = chat.answer(message, never, lambda _: None)
        # Of the answer before, the last token was written and not read; two may end turns.
        read = result.prompt_tokens - result.cached_tokens
        assert read <= own + 1 + 2 * (kind == "eos")
        assert result.prompt_tokens > 16 * number
    assert len(chat.turns) == 16
    assert chat.forgotten == 0


def test_answers_are_those_of_the_whole_prompt(generator: Generator) -> None:
    assert generator.tokenizer is not None
    chat = conversation(generator)
    chat.answer("Good day", never, lambda _: None)
    prompt = EosTurns(generator.tokenizer, 0).tokens(chat.turns, "Who are you?")
    result = chat.answer("Who are you?", never, lambda _: None)
    assert result.ids == generator.generate(prompt, max_new_tokens=12).ids
    assert chat.turns[-1].answer == result.text


def test_the_oldest_turns_fall_out_of_a_full_context(generator: Generator) -> None:
    chat = conversation(generator, max_new_tokens=100, ignore_eos=True)
    kept, forgotten = [], []
    for number in range(9):
        result = chat.answer(f"Number {number}", never, lambda _: None)
        assert len(result.ids) == 100
        kept.append(len(chat.turns))
        forgotten.append(chat.forgotten)
    assert kept[:4] == [1, 2, 3, 4]
    assert forgotten[:4] == [0] * 4
    assert any(forgotten)
    assert chat.turns[-1].message == "Number 8"
    with pytest.raises(Exception, match=r"the prompt has .* tokens; the model's context holds 512"):
        chat.answer("word " * 600, never, lambda _: None)
    assert chat.turns[-1].message == "Number 8"


def test_each_answer_draws_with_a_seed_of_its_own(generator: Generator) -> None:
    chat = conversation(generator, seed=7)
    results = [chat.answer("Hello", never, lambda _: None) for _ in range(3)]
    assert [result.seed for result in results] == [7, 8, 9]
    chat.reset()
    chat.seed(7)
    assert chat.answer("Hello", never, lambda _: None).ids == results[0].ids


def test_an_answer_without_tokens_is_no_turn(generator: Generator) -> None:
    chat = conversation(generator)
    result = chat.answer("Hello", lambda: True, lambda _: None)
    assert result.ids == ()
    assert chat.turns == []


def test_settings_are_those_of_generate(generator: Generator) -> None:
    chat = conversation(generator)
    chat.set("--top-k", "4")
    chat.set("suppress_tokens", "1,2")
    assert (chat.settings().top_k, chat.settings().suppress_tokens) == (4, (1, 2))
    assert chat.settings().do_sample
    chat.set("top_k", "")
    assert not chat.is_set("top_k")
    for name, text, message in (
        ("temprature", "1", "did you mean temperature"),
        ("num_beams", "2", "num_beams is no setting of a chat"),
        ("top_p", "2", "top_p is 2.0; it must be a number from 0 to 1"),
        ("top_p", "much", "top_p takes a number"),
    ):
        with pytest.raises(GenerationError, match=message):
            chat.set(name, text)
    assert chat.settings().top_p == 1.0


def test_lines_are_answered_in_their_order(
    chat: Callable[..., tuple[str, str]], generator: Generator
) -> None:
    first = generator.generate("One day", max_new_tokens=5)
    rest = generator.generate([*generator.encode("One day"), *first.ids], max_new_tokens=5)
    out, err = chat("One day\n\n", "-n", 5)
    assert (out, err) == (f"{first}\n{rest}\n", "")
    out, err = chat("One day", "-n", 5, "--stats")
    assert out == f"{first}\n"
    expected = r"\[turn 1: 2 tokens read, 0 cached; 5 written \(length\); [\d,]+ tokens/s\]\n"
    assert re.fullmatch(expected, err)


def test_commands_between_turns(chat: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    plain, _ = chat("One day\n", "-n", 5)
    again, err = chat("One day\n/retry\n", "-n", 5)
    assert again == plain * 2
    assert "nothing is drawn, so the answer is the same" in err
    drawn, err = chat("One day\n/seed 5\n/retry\n/undo\n/seed 5\nOne day\n", "-n", 5)
    _, second, third = drawn.splitlines()
    assert second == third
    assert err == "taken back: One day\n"
    out, err = chat("One day\n/reset\nOne day\n/quit\nOne day\n", "-n", 5)
    assert (out, err) == (plain * 2, "")
    out, err = chat("/set temperature 0.5\n/set top-k\n/settings\n/help\n", "-n", 5)
    assert out == ""
    assert err.startswith("temperature 0.5\ntop_k 50  (not set)\n")
    assert "max_new_tokens 5\n" in err
    assert "/save FILE" in err
    slash, _ = chat("//One day\n", "-n", 5)
    assert slash != plain


def test_turns_are_saved(chat: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    text, messages = tmp_path / "chat one.txt", tmp_path / "chat.json"
    lines = f"One day\n/save {text}\nThe sea\n/save {text}\n/save {messages}\n"
    out, err = chat(lines, "-n", 5)
    first, second = out.splitlines()
    assert text.read_text("utf-8") == f"> One day\n{first}\n> The sea\n{second}\n"
    assert json.loads(messages.read_text("utf-8"))[2:] == [
        {"role": "user", "content": "The sea"},
        {"role": "assistant", "content": second},
    ]
    assert err.endswith(f"2 turns are in {messages}\n")
    before = text.read_bytes()
    _, err = chat(f"One\n/save {text}\n", "-n", 1, status=2)
    assert "is there already; give another name" in err
    assert text.read_bytes() == before


def test_a_disk_that_is_full_leaves_what_was_saved(
    chat: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, saved, before = tmp_path / "turns", [], Path.replace

    def replace(source: Path, target: Path) -> None:
        if saved:
            raise OSError(28, "No space left on device")
        saved.append(target)
        before(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    _, err = chat(f"One day\n/save {file}\nand\n/save {file}\n", "-n", 2, status=2)
    assert f"{file} cannot be written (No space left on device)" in err
    assert file.read_text("utf-8").startswith("> One day\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["turns"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/undo", "there is no turn to take back"),
        ("/retry", "there is no turn to take back"),
        ("", "there is nothing to continue; type a text"),
        ("/seed", "/seed takes a whole number, not ''"),
        ("/seed x", "/seed takes a whole number, not 'x'"),
        ("/set", "/set takes a name and a value"),
        ("/set temperature -1", "temperature is -1.0; it must be"),
        ("/sett x", "there is no command '/sett'; did you mean /set?"),
        ("/\x1b[2J", "there is no command '/\\x1b[2J'; /help lists them"),
        ("/save", "/save takes the name of a file"),
        ("/save /nowhere/x", "/nowhere/x cannot be written (No such file"),
        ("/set suppress_tokens 9999\nx", "which is outside the vocabulary"),
        ("x " * 600, "the prompt has 1200 tokens"),
    ],
)
def test_a_line_that_cannot_be_done_is_told_and_the_next_one_is_done(
    chat: Callable[..., tuple[str, str]], line: str, expected: str
) -> None:
    out, err = chat(f"{line}\n/set suppress_tokens\nOne day\n", "-n", 2, status=2)
    assert out.count("\n") == 1
    errors = [line for line in err.splitlines() if line.startswith("gpt2-edge: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert errors[0].isprintable()


def test_lines_that_are_no_text(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, sample_fp32: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\nOne day\r\n")))
    assert main(["chat", str(sample_fp32), "-n", "1"]) == 2
    output = capsys.readouterr()
    assert output.out.count("\n") == 1
    assert "a line of standard input is not UTF-8 text" in output.err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--turns other", "--turns is one of template, eos, plain"),
        ("--turns template", "has no chat template"),
        ("--system x", "a system message goes with a chat template"),
        ("--temperature -1", "temperature is -1.0"),
        ("--num-beams 2", "there is no option '--num-beams'"),
        ("text", "is one argument too many"),
        ("--assistant nowhere", "no such package folder"),
    ],
)
def test_mistakes_in_options(capsys: Capture, sample_fp32: Path, line: str, expected: str) -> None:
    assert main(["chat", str(sample_fp32), *line.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err
    assert output.err.count("\n") == 1


def test_a_package_without_a_tokenizer(
    capsys: Capture, random_package: Callable[..., Path]
) -> None:
    assert main(["chat", str(random_package())]) == 2
    assert "has no tokenizer; a chat is of text" in capsys.readouterr().err


def test_the_kinds_of_turns_are_those_of_the_runtime() -> None:
    assert _KINDS == KINDS


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
class TestAtTerminal:
    def test_a_conversation(self, sample_fp32: Path, generator: Generator) -> None:
        from cli.terminal import AtTerminal

        first = generator.generate("One day", max_new_tokens=6).text
        with AtTerminal("chat", sample_fp32, "-n", 6) as terminal:
            shown = terminal.expect("> $")
            assert "sample, plain turns; /help lists commands, Ctrl-D ends\n" in shown
            terminal.press("One dax\x7fy\n")  # the line can be edited
            assert f"\n{first}\n" in terminal.expect("\n> $")
            terminal.press("/undo\n")
            terminal.expect("taken back: One day\n> $")
            terminal.press("/nothing\n")
            terminal.expect("there is no command '/nothing'(?s:.*)\n> $")
            terminal.press("\x1b[A\x1b[A\x1b[A\n")  # history
            assert f"\n{first}\n" in terminal.expect("\n> $")
            terminal.press("\x04")
            assert terminal.end() == 0

    def test_ctrl_c_stops_the_text_and_not_the_program(self, sample_fp32: Path) -> None:
        from cli.terminal import AtTerminal

        # A context of 512 tokens is written in no time, so the text waits for its reader.
        with AtTerminal("chat", sample_fp32, "-n", 500, "--ignore-eos", "--stats") as terminal:
            terminal.expect("> $")
            terminal.press("One day\n")
            terminal.expect("One day\n.+ .+ ")
            terminal.interrupt()
            shown = terminal.expect("\n> $")
            assert "written (cancelled)" in shown or "written (length)" in shown
            terminal.interrupt_until("Ctrl-D or /quit ends the chat\n> $")
            terminal.press("/set max_new_tokens 2\n/undo\nThe sea\n")
            terminal.expect("2 written(?s:.*)\n> $")
            terminal.press("/quit\n")
            assert terminal.end() == 0

    def test_many_a_ctrl_c_ends_nothing(self, sample_fp32: Path) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("chat", sample_fp32, "-n", 2) as terminal:
            terminal.expect("> $")
            for _ in range(100):
                terminal.interrupt()
                time.sleep(0.001)
            time.sleep(1)
            terminal.interrupt()  # so that none is left that readline would tell of at a key
            time.sleep(1)
            terminal.expect("Ctrl-D or /quit ends the chat\n> $")
            terminal.press("/help\n")
            terminal.expect("Ctrl-C ends an answer where it is.\n(?s:.*)> $")
            terminal.press("/quit\n")
            assert terminal.end() == 0

    def test_nothing_steers_the_terminal(self, sample_fp32: Path) -> None:
        from cli.terminal import AtTerminal

        with AtTerminal("chat", sample_fp32, "-n", 2, TERM="dumb") as terminal:
            terminal.expect("> $")
            terminal.press("/\x16\x1b[2J\n")
            shown = terminal.expect("there is no command(?s:.*)\n> $")
            assert "'/\\x1b[2J'" in shown


def test_a_ctrl_c_comes_only_where_it_is_heard() -> None:
    told = []
    before = signal.getsignal(signal.SIGINT)
    with ChatInterrupt() as interrupt:
        for _ in range(2):
            try:
                with interrupt.heard():
                    signal.raise_signal(signal.SIGINT)
                    raise AssertionError("it was not heard")
            except KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)  # while the one before is told
                told.append("told")
        with interrupt.heard():
            told.append("done")
        signal.raise_signal(signal.SIGINT)  # between two turns
        with pytest.raises(KeyboardInterrupt), interrupt.heard():
            raise AssertionError("the one that waited was not heard")
    assert told == ["told", "told", "done"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_template_of_the_package(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, sample_fp32: Path, tmp_path: Path
) -> None:
    pytest.importorskip("jinja2")
    raw = json.loads((sample_fp32 / "tokenizer_config.json").read_text("utf-8"))
    raw["chat_template"] = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    package = rewrite_package(sample_fp32, tmp_path / "package", tokenizer_config=raw)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Hello\n")))
    assert main(["chat", str(package), "-n", "4", "--system", "Be kind"]) == 0
    expected = Generator.load(package).generate("system: Be kind\nuser: Hello\n", max_new_tokens=4)
    assert capsys.readouterr().out == f"{expected}\n"
