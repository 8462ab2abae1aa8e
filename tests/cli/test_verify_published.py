"""gpt2-edge verify --reference-outputs: what other projects published of GPT-2's own weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli.command import Output as Run
from gpt2_edge import Generator
from gpt2_edge.errors import PackageError
from gpt2_edge.files.package import Package, open_package
from gpt2_edge.measure.reference_outputs import outputs as published
from gpt2_edge.measure.reference_outputs.outputs import (
    GPT2,
    Greedy,
    Loss,
    Next,
    Output,
    Skipped,
    check_outputs,
    read_outputs,
    require_gpt2,
)
from gpt2_edge_cli.main import main
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.tokenizer.files import TOKENIZER_FILE, read_tokenizer
from helpers import assert_one_line
from oracle import Oracle

PROMPT = "The man in the boat"
Change = Callable[[Greedy], Greedy]


@pytest.fixture(scope="module")
def fp32(sample_fp32: Path) -> Generator:
    return Generator.load(sample_fp32)


@pytest.fixture(scope="module")
def known(fp32: Generator, sample_checkpoint: Path) -> list[Output]:
    """What the sample's weights give, after the oracle: a list like that of GPT-2."""
    oracle = Oracle.load(sample_checkpoint)
    prompt = fp32.encode(PROMPT)
    ids = oracle.greedy(prompt, 4)
    logits = oracle.logits([*prompt, *ids])[len(prompt) - 1 : -1]
    logprobs = [
        float(row[i] - np.log(np.exp(row).sum())) for row, i in zip(logits, ids, strict=True)
    ]
    assert fp32.tokenizer is not None
    text = fp32.tokenizer.decode(ids)
    return [
        Greedy("ours/a@1", PROMPT, tuple(prompt), None, tuple(ids), tuple(logprobs[:2]), 1e-4),
        Greedy("ours/b@2", PROMPT, text=text),
        Next("ours/c@3", PROMPT, ids[0], float(logits[0].max()), 1e-4),
        Loss("ours/d@4", "boat", ((prompt[-1], *ids), (7, 8)), _mean_loss(oracle, prompt, ids), 0),
        Skipped("ours/e@5", "a beam", "beams are not built"),
    ]


def _mean_loss(oracle: Oracle, prompt: list[int], ids: list[int]) -> float:
    losses = []
    for sequence in ([prompt[-1], *ids], [7, 8]):
        for row, target in zip(oracle.logits(sequence[:-1]), sequence[1:], strict=True):
            losses.append(np.log(np.exp(row).sum()) - row[target])
    return float(np.mean(losses))


def test_right_outputs_agree(fp32: Generator, known: list[Output]) -> None:
    checks = list(check_outputs(fp32, known))
    assert [check.agrees for check in checks] == [True, True, True, True, None]
    assert checks[0].describe().startswith(f'ok       greedy "{PROMPT}": 4 of 4 tokens equal, log-')
    assert checks[4].describe() == "skipped  a beam: beams are not built (ours/e@5)"


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"ids": (1, 2)}),
        (0, {"logprobs": (-0.5,)}),
        (1, {"text": " of the moon"}),
        (2, {"id": 5}),
        (2, {"logit": 0.0}),
        (3, {"loss": 3.0}),
        (3, {"sequences": ((7, 8, 9),)}),
    ],
    ids=str,
)
def test_a_wrong_output_is_told(
    fp32: Generator, known: list[Output], number: int, change: dict[str, object]
) -> None:
    wrong = dataclasses.replace(known[number], **change)
    (check,) = check_outputs(fp32, [wrong])
    assert check.agrees is False
    assert check.required
    assert check.describe().startswith("differs  ")


def test_a_difference_of_rounding_agrees_and_a_larger_one_does_not(
    fp32: Generator, known: list[Output]
) -> None:
    right = known[2]
    assert isinstance(right, Next)
    for difference, agrees in ((5e-4, True), (3e-3, False)):
        output = dataclasses.replace(right, logit=right.logit + difference)
        assert output.check(fp32).agrees is agrees


def test_the_count_of_equal_tokens_ends_at_the_first_that_differs(
    fp32: Generator, known: list[Output]
) -> None:
    right = known[0]
    assert isinstance(right, Greedy)
    wrong = dataclasses.replace(right, ids=(*right.ids[:2], 1, right.ids[3]), logprobs=())
    assert wrong.check(fp32).detail == "2 of 4 tokens equal"


class TestCommand:
    """With the outputs of the sample model in the place of GPT-2's."""

    @pytest.fixture(autouse=True)
    def _anything_is_gpt2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(published, "require_gpt2", lambda package, outputs: None)

    @staticmethod
    def verify(
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        package: Path,
        outputs: list[Output],
    ) -> tuple[int, list[str]]:
        monkeypatch.setattr(published, "read_outputs", lambda: outputs)
        status = main(["verify", str(package), "--reference-outputs"])
        lines = capsys.readouterr().out.splitlines()
        return status, [line for line in lines if line.startswith("published")]

    def test_fp32_agrees(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        sample_fp32: Path,
        known: list[Output],
    ) -> None:
        status, lines = self.verify(capsys, monkeypatch, sample_fp32, known)
        assert status == 0
        assert len(lines) == 6
        assert lines[-1] == "published  ok: 4 of 4 agree"

    def test_fp32_must_agree(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        sample_fp32: Path,
        known: list[Output],
    ) -> None:
        wrong = Greedy("ours/a@1", PROMPT, ids=(1, 2))
        status, lines = self.verify(capsys, monkeypatch, sample_fp32, [*known, wrong])
        assert status == 1
        assert lines[-1] == "published  DIFFERS: 4 of 5 agree"

    def test_what_ran_in_half_precision_may_differ(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        sample_fp32: Path,
        known: list[Output],
    ) -> None:
        wrong = Greedy("ours/a@1", PROMPT, ids=(1, 2), half_precision=True)
        status, lines = self.verify(capsys, monkeypatch, sample_fp32, [*known, wrong])
        assert status == 0
        assert lines[-1] == "published  ok: 4 of 5 agree"

    def test_a_quantized_package_may_differ(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        sample_int4: Path,
        known: list[Output],
    ) -> None:
        status, lines = self.verify(capsys, monkeypatch, sample_int4, known)
        assert status == 0
        assert lines[-1].startswith("published  quantized: ")


def test_another_model_is_refused(refused: Run, sample_fp32: Path) -> None:
    message = refused("verify", sample_fp32, "--reference-outputs")
    assert f"{sample_fp32} has 6 layers of width 256, 8192 tokens; published outputs are" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, "has another tokenizer"), ({"tokenizer": None}, "has no tokenizer")],
    ids=["other", "none"],
)
def test_another_tokenizer_is_refused(
    sample_fp32: Path, change: dict[str, None], expected: str
) -> None:
    package = open_package(sample_fp32)
    manifest = dataclasses.replace(package.manifest, architecture=GPT2, **change)
    with pytest.raises(PackageError) as caught:
        require_gpt2(Package(package.folder, manifest), read_outputs())
    assert_one_line(caught.value, package.folder, expected)


@pytest.mark.shared
def test_gpt2_s_own_tokenizer_is_taken(
    shared_data: Path, sample_fp32: Path, tmp_path: Path
) -> None:
    """Every prompt's ids are those that the sources give."""
    config = GPT2Config(
        vocab_size=GPT2.vocab_size,
        n_positions=GPT2.context_length,
        n_embd=GPT2.hidden_size,
        n_layer=GPT2.num_layers,
        n_head=GPT2.num_heads,
        n_inner=4 * GPT2.hidden_size,
        bos_token_id=50256,
        eos_token_ids=(50256,),
    )
    files = read_tokenizer(shared_data / "data" / "tokenizer", config)
    assert files is not None
    (tmp_path / TOKENIZER_FILE).write_text(files.contents[TOKENIZER_FILE], "utf-8")
    manifest = dataclasses.replace(
        open_package(sample_fp32).manifest, architecture=GPT2, tokenizer=TOKENIZER_FILE
    )
    require_gpt2(Package(tmp_path, manifest), read_outputs())


@pytest.mark.shared
def test_the_outputs_are_those_that_were_collected(shared_data: Path) -> None:
    path = shared_data / "data" / "reference" / "known-outputs.json"
    items = json.loads(path.read_text("utf-8"))["items"]
    ours = read_outputs()
    assert [output.source for output in ours] == [item["source"] for item in items]
    for output, item in zip(ours, items, strict=True):
        if isinstance(output, Greedy):
            whole = item.get("output_ids") or [item.get("next_id")]
            assert output.text is not None or whole[-len(output.ids) :] == list(output.ids)
            assert output.text is None or item["output"].endswith(output.text)
            assert list(output.logprobs) == item.get("first3_generated_token_logprobs", [])
        elif isinstance(output, Next):
            assert (output.id, output.logit) == (item["argmax_id"], item["logit"])
        elif isinstance(output, Loss):
            assert output.loss in (item.get("mean_loss"), item.get("mean_next_token_loss"))
            fed = [i for sequence in output.sequences for i in sequence[:-1]]
            assert fed == item["input_ids"] or fed == item["input_ids"][:-1]


def _cached_gpt2() -> Path | None:
    """The folder of GPT-2's weights in the hub's cache on this machine, if all of it is there."""
    from huggingface_hub import try_to_load_from_cache

    needed = ("config.json", "tokenizer.json", "model.safetensors")
    for name in ("openai-community/gpt2", "gpt2"):
        paths = [try_to_load_from_cache(name, file) for file in needed]
        if all(isinstance(path, str) for path in paths):
            return Path(str(paths[0])).parent
    return None


def test_the_real_gpt2(ok: Run, tmp_path: Path) -> None:
    checkpoint = _cached_gpt2()
    if checkpoint is None:
        pytest.skip("GPT-2's weights are not in the hub's cache of this machine")
    ok("export", checkpoint, "-o", tmp_path / "gpt2", "--recipe", "fp32", "--no-report")
    lines = ok("verify", tmp_path / "gpt2", "--reference-outputs").splitlines()
    assert lines[-1].startswith("published  ok: ")
