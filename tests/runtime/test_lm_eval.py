"""The adapter for lm-evaluation-harness, in the harness itself (extra [lm-eval])."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

lm_eval = pytest.importorskip("lm_eval", minversion="0.4.10")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from gpt2_edge import GenerationConfig, GenerationError, Generator  # noqa: E402
from gpt2_edge.measure.lm_eval_adapter import GPT2EdgeLM  # noqa: E402
from gpt2_edge.measure.score import continuation, perplexity, token_logprobs  # noqa: E402
from gpt2_edge_export.texts import REPORT_TEXT  # noqa: E402
from helpers import assert_one_line  # noqa: E402

pytestmark = pytest.mark.lm_eval

PAIRS = [
    ("It was the best of", " times"),
    ("It was the best of", " all"),
    ("It was the best of ", "times, it was the worst"),  # the space belongs to the word
    ("", "It was the best"),
    ("<|endoftext|>It was", " a"),
]


@pytest.fixture(scope="module")
def model(sample_fp32: Path) -> Any:
    return GPT2EdgeLM(str(sample_fp32))


@pytest.fixture(scope="module")
def heldout(sample_checkpoint: Path) -> str:
    return REPORT_TEXT.read_text("utf-8")


def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    return [Instance(kind, {}, one, number) for number, one in enumerate(arguments)]


def answers(model: Any, kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    found: list[Any] = getattr(model, kind)(requests(kind, arguments), disable_tqdm=True)
    return found


def test_it_is_registered() -> None:
    assert get_model("gpt2-edge") is GPT2EdgeLM


def test_loglikelihood_is_that_of_the_scorer(model: Any, fp32: Generator) -> None:
    found = answers(model, "loglikelihood", PAIRS)
    for (context, wanted), (logprob, greedy) in zip(PAIRS, found, strict=True):
        whole = fp32.encode(context + wanted)
        start = len(fp32.encode(context.rstrip())) if context else 0
        expected = continuation(fp32, whole[:start], whole[start:])
        assert (logprob, greedy) == (expected.logprob, expected.greedy)


def test_greedy_text_is_told(model: Any, fp32: Generator) -> None:
    prompt = "The man in the boat said that he"
    written = fp32.generate(prompt, GenerationConfig(max_new_tokens=5)).text
    (likely, greedy), (unlikely, other) = answers(
        model, "loglikelihood", [(prompt, written), (prompt, " banana")]
    )
    assert (greedy, other) == (True, False)
    assert likely > unlikely


def test_a_long_context_loses_its_beginning(model: Any, fp32: Generator, heldout: str) -> None:
    assert fp32.tokenizer is not None
    cut = heldout.index(" ", 6000)
    context, wanted = heldout[:cut], heldout[cut : cut + 40]
    ids = fp32.tokenizer.encode(context + wanted)
    assert len(ids) > 1000
    count = len(ids) - len(fp32.tokenizer.encode(context))
    expected = token_logprobs(fp32, ids[-513:])[-count:].sum()
    found = answers(model, "loglikelihood", [(context, wanted)])
    assert found[0][0] == pytest.approx(expected, abs=1e-4)


def test_rolling_loglikelihood(model: Any, fp32: Generator, heldout: str) -> None:
    short, long = heldout[:800], heldout[:5000]
    found = answers(model, "loglikelihood_rolling", [(short,), (long,), ("",)])
    expected = -perplexity(fp32, fp32.encode(short), bos=True).negative_log_likelihood
    assert found[0] == pytest.approx(expected, abs=1e-4)
    # The harness's windows begin anew with one token of context, and the last is full.
    assert fp32.tokenizer is not None
    ids = [0, *fp32.tokenizer.encode(long)]
    assert 1025 < len(ids) < 1537
    parts = [(ids[:513], 1), (ids[512:1025], 1), (ids[-513:], 1025 - (len(ids) - 513))]
    expected = sum(token_logprobs(fp32, part, start).sum() for part, start in parts)
    assert found[1] == pytest.approx(expected, abs=1e-3)
    assert found[2] == 0


def test_generate_until(model: Any, fp32: Generator) -> None:
    prompt = "The man in the boat said that he"
    greedy = fp32.generate(prompt, GenerationConfig(max_new_tokens=40)).text
    assert greedy is not None
    stop = greedy[20:24]
    found = answers(
        model,
        "generate_until",
        [
            (prompt, {"until": [stop], "max_gen_toks": 40, "do_sample": False}),
            (prompt, {"until": stop, "max_gen_toks": 40, "temperature": 0.0}),
            (prompt, {"max_gen_toks": 40, "do_sample": False, "temperature": 0.7, "top_p": 0.9}),
            (prompt, {"max_gen_toks": 40, "temperature": 0.9, "top_k": 0, "seed": 3}),
            ("", {"max_gen_toks": 4}),
        ],
    )
    assert found[0] == found[1] == greedy.partition(stop)[0]
    assert found[2] == greedy
    sampled = GenerationConfig(max_new_tokens=40, temperature=0.9, top_k=8192, seed=3)
    assert found[3] == fp32.generate(prompt, sampled).text
    assert found[4] == fp32.generate([0], GenerationConfig(max_new_tokens=4)).text


def test_a_long_prompt_leaves_room_for_its_answer(
    model: Any, fp32: Generator, heldout: str
) -> None:
    assert fp32.tokenizer is not None
    prompt = heldout[:6000]
    ids = fp32.tokenizer.encode(prompt)[-500:]
    expected = fp32.generate(ids, GenerationConfig(max_new_tokens=12)).text
    assert answers(model, "generate_until", [(prompt, {"max_gen_toks": 12})]) == [expected]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"no_such_setting": 4}, "the task asks for no_such_setting"),
        ({"max_gen_toks": 512}, "max_gen_toks is 512 and the model's context 512"),
    ],
)
def test_what_cannot_be_generated(model: Any, settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(GenerationError) as caught:
        answers(model, "generate_until", [("It was", settings)])
    assert_one_line(caught.value, expected)


def test_a_package_needs_a_tokenizer(random_package: Callable[..., Path]) -> None:
    package = random_package()
    with pytest.raises(GenerationError) as caught:
        GPT2EdgeLM(str(package))
    assert_one_line(caught.value, package, "no tokenizer")


def test_tasks_of_the_harness(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sample_fp32: Path, fp32: Generator
) -> None:
    """A whole evaluation, offline: multiple choice, perplexity and generation."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    questions = [
        {"context": '"What do you', "choices": [" banana", " mean"], "answer": 1},
        {"context": "He opened the", "choices": [" door", " of"], "answer": 0},
        {"context": "It was the best", "choices": [" of", " xylophone"], "answer": 1},
    ]
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(question) + "\n" for question in questions))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "doc_to_text": "{{context}}",
    }
    tasks = {
        "tiny_choice": {
            "output_type": "multiple_choice",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{answer}}",
            "metric_list": [{"metric": "acc"}],
        },
        "tiny_rolling": {
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{context}}",
            "metric_list": [{"metric": "bits_per_byte"}],
        },
        "tiny_text": {
            "output_type": "generate_until",
            "doc_to_target": "{{choices[1]}}",
            "generation_kwargs": {"until": ["?"], "max_gen_toks": 1, "do_sample": False},
            "metric_list": [{"metric": "exact_match"}],
        },
    }
    for name, task in tasks.items():
        # JSON is YAML too.
        (tmp_path / f"{name}.yaml").write_text(json.dumps(common | task | {"task": name}))
    outcome = lm_eval.simple_evaluate(
        model="gpt2-edge",
        model_args=f"package={sample_fp32},threads=1",
        tasks=list(tasks),
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )
    results = outcome["results"]
    assert results["tiny_choice"]["acc,none"] == pytest.approx(2 / 3)
    texts = [str(question["context"]) for question in questions]
    nats = sum(
        perplexity(fp32, fp32.encode(text), bos=True).negative_log_likelihood for text in texts
    )
    size = sum(len(text.encode()) for text in texts)
    assert results["tiny_rolling"]["bits_per_byte,none"] == pytest.approx(
        nats / size / math.log(2), rel=1e-5
    )
    assert results["tiny_text"]["exact_match,none"] == pytest.approx(1 / 3)
    sha = fp32.manifest.files[fp32.manifest.graph.file].sha256
    assert outcome["config"]["model_sha256"] == sha
