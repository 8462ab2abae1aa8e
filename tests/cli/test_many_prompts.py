"""generate with several prompts, several texts of one, and files of prompts."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.command import COMMAND, ENVIRONMENT
from gpt2_edge import GenerationConfig, Generator
from gpt2_edge_cli.main import main
from gpt2_edge_cli.progress import Progress
from gpt2_edge_cli.writing.lines import _groups
from gpt2_edge_cli.writing.prompt_lines import PromptFile, PromptLine

PROMPTS = ("One day", "The sea was")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


def output_of(capsys: Capture, *arguments: object) -> str:
    assert main(list(map(str, arguments))) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def refused(capsys: Capture, *arguments: object) -> str:
    assert main(list(map(str, arguments))) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err[:-1].isprintable()
    return output.err


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return path


def test_several_prompts_each_under_its_header(capsys: Capture, generator: Generator) -> None:
    expected = generator.generate_batch(PROMPTS, max_new_tokens=6)
    package = generator.package.folder
    assert output_of(capsys, "generate", package, *PROMPTS, "-n", 6) == (
        f"=== 1 of 2: One day ===\n{expected[0]}\n=== 2 of 2: The sea was ===\n{expected[1]}\n"
    )
    lines = output_of(capsys, "generate", package, *PROMPTS, "-n", 6, "--json").splitlines()
    records = list(map(json.loads, lines))
    assert [record["prompt"] for record in records] == list(PROMPTS)
    assert [record["ids"] for record in records] == [list(result.ids) for result in expected]


def test_a_header_is_one_short_line(capsys: Capture, generator: Generator) -> None:
    long = "word\n" * 40
    output = output_of(capsys, "generate", generator.package.folder, long, "x", "-n", 1)
    assert output.startswith(f"=== 1 of 2: {'word ' * 12}"[:71] + "… ===\n")


def test_several_texts_of_a_prompt_are_numbered(capsys: Capture, generator: Generator) -> None:
    command = ("generate", generator.package.folder, "One day", "-n", 5, "--seed", 3)
    expected = generator.generate("One day", max_new_tokens=5, seed=3, num_return_sequences=3)
    output = output_of(capsys, *command, "--num-return-sequences", 3)
    one, two, three = expected.sequences
    assert output == f"--- 1 of 3 ---\n{one}\n--- 2 of 3 ---\n{two}\n--- 3 of 3 ---\n{three}\n"
    record = json.loads(output_of(capsys, *command, "--num-return-sequences", 3, "--json"))
    assert [text["text"] for text in record["sequences"]] == [one.text, two.text, three.text]


def test_beams_have_scores(capsys: Capture, generator: Generator) -> None:
    command = ("generate", generator.package.folder, "One day", "-n", 5, "--num-beams", 3)
    best = generator.generate("One day", max_new_tokens=5, num_beams=3, num_return_sequences=2)
    assert output_of(capsys, *command) == f"{best}\n"
    output = output_of(capsys, *command, "--num-return-sequences", 2)
    assert output.startswith(f"--- 1 of 2, score {best.score:.4f} ---\n{best}\n--- 2 of 2, score ")
    record = json.loads(output_of(capsys, *command, "--num-return-sequences", 2, "--json"))
    scores = [text["score"] for text in record["sequences"]]
    assert scores == [text.score for text in best.sequences]
    assert record["score"] == scores[0] >= scores[1]


def test_an_assistant_changes_nothing_but_speed(capsys: Capture, sample_fp32: Path) -> None:
    command = ("generate", sample_fp32, "One day", "-n", 20, "--json")
    plain = json.loads(output_of(capsys, *command))
    drafted = json.loads(output_of(capsys, *command, "--assistant", sample_fp32))
    assert drafted["ids"] == plain["ids"]
    assert drafted["accepted_tokens"] > 0 == plain["accepted_tokens"]


def test_an_assistant_with_other_tokens(
    capsys: Capture, sample_int4: Path, random_package: Callable[..., Path]
) -> None:
    command = ("generate", sample_int4, "x", "--assistant")
    assert "has other tokens than sample" in refused(capsys, *command, random_package())
    assert "nowhere: no such package folder" in refused(capsys, *command, "nowhere")


def test_json_lines_in_and_out(capsys: Capture, generator: Generator, tmp_path: Path) -> None:
    ids = generator.encode("The sea was")
    file = write_lines(
        tmp_path / "prompts.jsonl",
        {"prompt": "One day", "id": "a"},
        {"ids": ids, "max_new_tokens": 2, "id": 7},
        {"prompt": "One day", "seed": 5, "top_k": 4, "num_return_sequences": 2},
        {"prompt": "One day", "num_beams": 2},
    )
    output = output_of(capsys, "generate", generator.package.folder, "--jsonl", file, "-n", 4)
    one, two, three, four = map(json.loads, output.splitlines())
    assert (one["id"], two["id"], "id" in three) == ("a", 7, False)
    assert (one["prompt"], two["prompt"]) == ("One day", None)
    assert two["prompt_ids"] == ids
    config = GenerationConfig(max_new_tokens=4)
    assert one["ids"] == list(generator.generate("One day", config).ids)
    assert two["ids"] == list(generator.generate(ids, config, max_new_tokens=2).ids)
    drawn = generator.generate("One day", config, seed=5, top_k=4, num_return_sequences=2)
    assert [text["ids"] for text in three["sequences"]] == [list(t.ids) for t in drawn.sequences]
    assert four["ids"] == list(generator.generate("One day", config, num_beams=2).ids)


def test_json_lines_of_standard_input_and_of_pipes(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, sample_int4: Path, tmp_path: Path
) -> None:
    content = '\ufeff{"prompt": "One day", "id": null}\r\n\r\n{"prompt": "x"}'.encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    output = output_of(capsys, "generate", sample_int4, "--jsonl", "-", "-n", 2)
    assert [json.loads(line)["prompt"] for line in output.splitlines()] == ["One day", "x"]
    line = f"cat {tmp_path / 'lines'} | {' '.join(COMMAND)} generate {sample_int4}"
    (tmp_path / "lines").write_bytes(content)
    piped = subprocess.run(
        ["bash", "-c", f"{line} --jsonl /dev/stdin -n 2"], capture_output=True, env=ENVIRONMENT
    )
    assert piped.returncode == 0
    texts = [
        [json.loads(one)["text"] for one in out.splitlines()] for out in (output, piped.stdout)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "it is no JSON (Expecting property name"),
        ("\udcff", "it is no JSON (byte 0 is not UTF-8"),
        ("[1, 2]", "it is [1, 2]; give an object"),
        ("{}", 'give it "prompt" (a text) or "ids"'),
        ('{"prompt": "x", "ids": [1]}', "not both"),
        ('{"prompt": 5}', '"prompt" is 5; it must be a text'),
        ('{"prompt": ""}', "the prompt is empty"),
        ('{"ids": "1,2"}', "\"ids\" is '1,2'; it must be a list"),
        ('{"ids": [1, 8192]}', "token id 8192 is outside the vocabulary"),
        ('{"ids": [1, 1.5]}', "the prompt has 1.5 at position 1"),
        ('{"prompt": "x", "id": [1]}', '"id" is [1]; it must be a text or a whole number'),
        ('{"prompt": "x", "top_kk": 1}', "there is no setting 'top_kk'; did you mean top_k?"),
        ('{"prompt": "x", "top_k": "many"}', "top_k is 'many'; it must be a whole number"),
        ('{"prompt": "x", "prompt": "y"}', "has the key 'prompt' twice"),
        ('{"prompt": "x", "num_beams": 2, "seed": 1}', "num_beams searches without drawing"),
        ('{"prompt": "x", "suppress_tokens": [9999]}', "which is outside the vocabulary"),
        ('{"prompt": "' + "x " * 600 + '"}', "the prompt has 1200 tokens; the model's context"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_computed(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    sample_int4: Path,
    tmp_path: Path,
    line: str,
    expected: str,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Generator, "stream_batch", never)
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(b'{"prompt": "fine"}\n\n' + line.encode("utf-8", "surrogateescape"))
    message = refused(capsys, "generate", sample_int4, "--jsonl", file)
    assert message.startswith(f"gpt2-edge: {file}, line 3: ")
    assert expected in message


def test_a_line_whose_settings_rule_each_other_out_is_named(
    capsys: Capture, random_package: Callable[..., Path], tmp_path: Path
) -> None:
    everything = list(range(101))
    file = write_lines(tmp_path / "p", {"ids": [1]}, {"ids": [2], "suppress_tokens": everything})
    assert main(["generate", str(random_package()), "--jsonl", str(file), "-n", "1"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"gpt2-edge: {file}, line 2: every token is forbidden here")
    assert message.count("\n") == 1


def test_files_that_cannot_be_read(capsys: Capture, sample_int4: Path, tmp_path: Path) -> None:
    command = ("generate", sample_int4, "--jsonl")
    assert "no such file" in refused(capsys, *command, tmp_path / "nowhere").lower()
    assert "cannot be read" in refused(capsys, *command, tmp_path)
    assert output_of(capsys, *command, write_lines(tmp_path / "empty")) == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x --jsonl F", "--jsonl has the prompts; leave out the others"),
        ("--ids 1 --jsonl F", "--jsonl has the prompts"),
        ("--jsonl F --json --stream", "leave out --stream"),
        ("--jsonl F --echo", "leave out --echo"),
        ("x y --ids 1", "with --ids, not both"),
        ("x y -f F", "with -f/--file, not both"),
        ("x - y", "- is standard input, for one prompt"),
        ("x y --json --stream", "--stream is for one prompt"),
        ("x y --cache-file F", "--cache-file is for one prompt"),
        ("--jsonl F --cache-file F", "--cache-file is for one prompt"),
        ("x --logprobs", "--logprobs and --top-logprobs are told by --json only"),
        ("x --top-logprobs 3", "told by --json only"),
        ("x --json --stream --num-beams 2", "--stream is for one text"),
        ("x --num-beams 2 --seed 1", "num_beams searches without drawing"),
        ("x --regex a --choices b", "regex and choices are given"),
    ],
)
def test_what_does_not_go_together(
    capsys: Capture, sample_int4: Path, line: str, expected: str
) -> None:
    assert expected in refused(capsys, "generate", sample_int4, *line.split())


def test_an_interrupt_keeps_what_was_written(sample_int4: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "prompts", *({"prompt": "One day", "id": n} for n in range(5000)))
    process = subprocess.Popen(
        [*COMMAND, "generate", str(sample_int4), "--jsonl", str(file), "-n", "8"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        bufsize=0,  # `communicate` knows nothing of what a buffer here has read behind the line
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"gpt2-edge: interrupted\n")
    written = [json.loads(line)["id"] for line in (first + rest).splitlines()]
    assert written == list(range(len(written)))
    assert len(written) < 5000


def test_lines_are_read_as_they_are_needed(generator: Generator, tmp_path: Path) -> None:
    config = GenerationConfig()
    read = []

    def lines() -> Iterator[PromptLine]:
        file = write_lines(tmp_path / "p", *({"prompt": "x"} for _ in range(100)))
        with PromptFile(str(file), generator, config) as prompts:
            for line in prompts.lines():
                read.append(line.number)
                yield line

    groups = _groups(generator, lines(), 8)
    assert [line.number for line in next(groups)] == list(range(1, 9))
    assert len(read) == 9
    assert sum(len(group) for group in groups) == 92


def test_texts_of_one_line_stay_in_a_group(generator: Generator) -> None:
    def line(number: int, **settings: Any) -> PromptLine:
        return PromptLine(number, {}, None, [1], GenerationConfig(**settings))

    lines = [line(1, num_beams=3), line(2, num_return_sequences=2), line(3), line(4, num_beams=9)]
    groups = [[one.number for one in group] for group in _groups(generator, iter(lines), 4)]
    assert groups == [[1], [2, 3], [4]]


def test_what_the_progress_says() -> None:
    progress = Progress(200, "texts")
    progress.add(50, 1000)
    line = progress.line(10.0)
    assert line == f"[{'#' * 6}{'.' * 18}] 50 of 200 texts, 100 tokens/s, 0:30 left"
    progress.add(150, 0)
    assert progress.line(20.0).endswith("200 of 200 texts, 50 tokens/s")
    unknown = Progress(None, "lines checked")
    unknown.show(1234)
    assert unknown.line(1.0) == "1,234 lines checked"
    slow = Progress(10_000, "texts")
    slow.show(1)
    assert slow.line(2.0).endswith("5:33:18 left")


def test_a_bar_at_a_terminal_leaves_the_results_whole(sample_int4: Path, tmp_path: Path) -> None:
    terminal = pytest.importorskip("cli.terminal")
    file = write_lines(tmp_path / "prompts", *({"prompt": f"One {n}"} for n in range(200)))
    with terminal.AtTerminal("generate", sample_int4, "--jsonl", file, "-n", 12) as run:
        assert run.end() == 0
        shown = run.shown
    assert re.search(r"\r\x1b\[K\[#*\.*\] [\d,]+ of 200 texts, [\d,]+ tokens/s", shown)
    # As the terminal shows it in the end: what a line began with is cleared away.
    lines = [line.rpartition("\x1b[K")[2] for line in shown.split("\n")]
    assert [json.loads(line)["prompt"] for line in lines if line] == [
        f"One {n}" for n in range(200)
    ]
