"""gpt2-edge score."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cli.command import Cli, Output
from gpt2_edge import Generator
from gpt2_edge.measure.score import score_tokens, text_perplexity
from gpt2_edge_export.texts import REPORT_TEXT

TEXT = "It was the best\nof times"


@pytest.fixture(scope="module")
def generator(sample_int4: Path) -> Generator:
    return Generator.load(sample_int4)


@pytest.fixture(scope="module")
def heldout(sample_checkpoint: Path) -> str:
    return REPORT_TEXT.read_text("utf-8")[:3000]


@pytest.fixture
def file(tmp_path: Path, heldout: str) -> Path:
    path = tmp_path / "held out.txt"
    path.write_text(heldout, "utf-8")
    return path


def test_a_table_of_tokens(ok: Output, sample_int4: Path, generator: Generator) -> None:
    tokens = score_tokens(generator, generator.encode(TEXT))
    head, first, *rows, summary = ok("score", sample_int4, TEXT).splitlines()
    assert head.split() == ["logprob", "%", "rank", "token"]
    assert first.strip() == '"It"'
    assert len(rows) == len(tokens) - 1
    for row, token in zip(rows, tokens[1:], strict=True):
        logprob, percent, rank, label = row.split(maxsplit=3)
        assert token.logprob is not None
        assert float(logprob) == pytest.approx(token.logprob, abs=6e-4)
        assert float(percent.rstrip("%")) == pytest.approx(100 * math.exp(token.logprob), abs=6e-3)
        assert rank == f"{token.rank:,}"
        assert label == json.dumps(token.text)
    total = math.fsum(token.logprob or 0 for token in tokens)
    mean = total / (len(tokens) - 1)
    assert summary == (
        f"{len(tokens) - 1} tokens predicted, log-probability {total:.2f}, "
        f"perplexity {math.exp(-mean):.2f}"
    )


def test_json_of_a_text(ok: Output, sample_int4: Path, generator: Generator) -> None:
    ids = generator.encode(TEXT)
    tokens = score_tokens(generator, ids)
    record = json.loads(ok("score", sample_int4, TEXT, "--json"))
    assert set(record) == {"tokens", "predicted", "logprob", "perplexity"}
    assert [token["id"] for token in record["tokens"]] == ids
    assert [token["logprob"] for token in record["tokens"]] == [t.logprob for t in tokens]
    assert [token["rank"] for token in record["tokens"]] == [t.rank for t in tokens]
    assert record["predicted"] == len(ids) - 1
    mean = record["logprob"] / record["predicted"]
    assert record["perplexity"] == pytest.approx(math.exp(-mean))


def test_bos_predicts_the_first_token(ok: Output, sample_int4: Path, generator: Generator) -> None:
    ids = generator.encode(TEXT)
    record = json.loads(ok("score", sample_int4, TEXT, "--json", "--bos"))
    first = score_tokens(generator, ids, bos=True)[0]
    assert (record["predicted"], record["tokens"][0]["logprob"]) == (len(ids), first.logprob)


def test_a_text_from_standard_input_and_as_ids(
    ok: Output, sample_int4: Path, generator: Generator
) -> None:
    given = ok("score", sample_int4, TEXT)
    assert ok("score", sample_int4, stdin=TEXT + "\n") == given
    ids = ",".join(map(str, generator.encode(TEXT)))
    assert ok("score", sample_int4, "--ids", ids) == given


def test_a_package_without_a_tokenizer_shows_ids(
    ok: Output, random_package: Callable[..., Path]
) -> None:
    lines = ok("score", random_package(), "--ids", "5,6,7").splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ['"5"', '"6"', '"7"']


def test_the_perplexity_of_a_file(
    ok: Output, sample_int4: Path, generator: Generator, file: Path, heldout: str
) -> None:
    found = text_perplexity(generator, heldout)
    lines = ok("score", sample_int4, "--file", file).splitlines()
    assert lines == [
        f"perplexity     {found.perplexity:.2f} +/- {found.standard_error:.2f}",
        f"bits per byte  {found.bits_per_byte:.4f}",
        f"tokens         {found.tokens:,} predicted",
        "window         512 tokens, stride 256",
    ]


def test_json_of_a_file_with_its_windows(
    ok: Output, sample_int4: Path, generator: Generator, file: Path, heldout: str
) -> None:
    found = text_perplexity(generator, heldout, 128, 32, bos=True)
    command = ("score", sample_int4, "--file", file, "--window", 128, "--stride", 32, "--bos")
    assert json.loads(ok(*command, "--json")) == {
        "perplexity": found.perplexity,
        "bits_per_byte": found.bits_per_byte,
        "tokens": found.tokens,
        "negative_log_likelihood": found.negative_log_likelihood,
        "standard_error": found.standard_error,
        "window": 128,
        "stride": 32,
        "text_bytes": len(heldout.encode()),
    }


def test_what_is_not_known_is_left_out(ok: Output, sample_int4: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("It was")
    command = ("score", sample_int4, "--file", tmp_path / "two.txt")
    record = json.loads(ok(*command, "--json"))
    assert (record["tokens"], record["standard_error"]) == (1, None)
    assert "nan" not in ok(*command)
    (tmp_path / "more.txt").write_text("It was the best of times, it was")
    command = ("score", sample_int4, "--file", tmp_path / "more.txt", "--window", 4)
    assert "bits per byte" in ok(*command)
    assert "bits per byte" not in ok(*command, "--stride", 4)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(
    ok: Output, sample_int4: Path, tmp_path: Path, file: Path, heldout: str
) -> None:
    other = tmp_path / "windows.txt"
    other.write_bytes(heldout.replace("\n", "\r\n").encode("utf-8-sig"))
    assert ok("score", sample_int4, "--file", other) == ok("score", sample_int4, "--file", file)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.txt", None, "no such file"),
        ("latin1.txt", b"caf\xe9 au lait", "is not UTF-8 text"),
        ("empty.txt", b"", "is empty; give a text of two tokens or more"),
    ],
)
def test_a_file_that_cannot_be_scored(
    refused: Output,
    sample_int4: Path,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    expected: str,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    message = refused("score", sample_int4, "--file", path)
    assert expected in message
    assert str(path) in message


def test_a_file_of_one_token(refused: Output, sample_int4: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("x")
    expected = "perplexity needs two tokens or more, the text has 1: give a longer one"
    assert expected in refused("score", sample_int4, "--file", tmp_path / "short.txt")


def test_a_folder_is_no_file(refused: Output, sample_int4: Path, tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be read" in refused("score", sample_int4, "--file", tmp_path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--window 513", "window is 513; it must be from 2 to the model's context of 512"),
        ("--window 1", "window is 1;"),
        ("--stride 513", "stride is 513; it must be from 1 to the window of 512"),
        ("--window 64 --stride 65", "stride is 65; it must be from 1 to the window of 64"),
        ("--stride 0", "stride is 0;"),
        ("--ids 5,6", "give a text, --ids or --file, not several of them"),
        ("--threads 0", "--threads is 0"),
    ],
)
def test_a_setting_out_of_range(
    refused: Output, sample_int4: Path, file: Path, options: str, expected: str
) -> None:
    assert expected in refused("score", sample_int4, "--file", file, *options.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["It was", "--stride", "4"], "--window and --stride are for the perplexity of a --file"),
        (["It was", "--window", "4"], "--window and --stride are for the perplexity of a --file"),
        (["It was", "--ids", "5,6"], "not both"),
        (["It was", "--file", "x.txt"], "give a text, --ids or --file, not several of them"),
        (["--ids", "5,8192"], "token id 8192 is outside the vocabulary of 8192"),
        ([], "scoring needs two tokens or more, there are 0"),
        (["It"], "scoring needs two tokens or more, there are 1"),
        ([" the" * 600], "the text has 600 tokens; a context of 512 scores 513 at once"),
    ],
)
def test_a_text_that_cannot_be_scored(
    refused: Output, sample_int4: Path, arguments: list[str], expected: str
) -> None:
    assert expected in refused("score", sample_int4, *arguments)


def test_a_text_for_a_package_without_a_tokenizer(
    refused: Output, random_package: Callable[..., Path], file: Path
) -> None:
    package = random_package()
    for arguments in (["One two"], ["--file", file]):
        message = refused("score", package, *arguments)
        assert f"{package} has no tokenizer" in message
        assert "ids" in message


def test_a_package_that_is_missing(refused: Output, tmp_path: Path) -> None:
    assert f"{tmp_path / 'nothing'}: no such package" in refused("score", tmp_path / "nothing", "x")


def test_help_shows_examples(cli: Cli) -> None:
    process = cli("score", "--help")
    assert process.returncode == 0
    assert "gpt2-edge score PACKAGE --file held-out.txt" in process.stdout


def test_one_token_is_one_token(ok: Output, sample_int4: Path) -> None:
    assert ok("score", sample_int4, "--ids", "5,6").splitlines()[-1].startswith("1 token predicted")


def test_a_text_beyond_all_likelihood(ok: Output, sample_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint, package = tmp_path / "checkpoint", tmp_path / "package"
    shutil.copytree(sample_checkpoint, checkpoint)
    weights = checkpoint / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("ln_f.weight"))
    tensors[name] = tensors[name].astype(np.float32) * 10_000
    save_file(tensors, weights)
    ok("export", checkpoint, "-o", package, "--recipe", "fp32", "--no-report")
    assert ok("score", package, TEXT).splitlines()[-1].endswith("perplexity inf")
    (tmp_path / "text").write_text(TEXT, "utf-8")
    for text in ([TEXT], ["--file", tmp_path / "text"]):
        found = json.loads(ok("score", package, *text, "--json"), parse_constant=pytest.fail)
        assert found["perplexity"] is None
