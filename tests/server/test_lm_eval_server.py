"""lm-evaluation-harness's own `local-completions` against the server (extra [lm-eval]).

The harness asks for max_tokens = 1 with echo and logprobs, and reads the prompt's logprobs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

lm_eval = pytest.importorskip("lm_eval", minversion="0.4.10")
# What the harness's clients of servers need: pip install 'lm-eval[api]' transformers
for needed in ("aiohttp", "requests", "tenacity", "transformers", "starlette", "uvicorn"):
    pytest.importorskip(needed)

from lm_eval.tasks import TaskManager  # noqa: E402

from gpt2_edge import Generator  # noqa: E402
from gpt2_edge.measure.evaluate import lambada  # noqa: E402
from gpt2_edge.measure.evaluate.record import Evaluation  # noqa: E402
from gpt2_edge_export.texts import REPORT_TEXT  # noqa: E402
from server.process import Served, served  # noqa: E402

pytestmark = pytest.mark.lm_eval

PASSAGES, WORDS = 24, 30
# lambada_openai.yaml of the harness, of a file.
LAMBADA: dict[str, Any] = {
    "task": "lambada_file",
    "output_type": "loglikelihood",
    "test_split": "test",
    "dataset_path": "json",
    "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
    "doc_to_target": "{{' '+text.split(' ')[-1]}}",
    "metric_list": [
        {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
    ],
}


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in LAMBADA's format."""
    words = REPORT_TEXT.read_text("utf-8").split()
    texts = [" ".join(words[WORDS * i : WORDS * (i + 1)]) for i in range(PASSAGES)]
    path = tmp_path_factory.mktemp("data") / "lambada.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


@pytest.fixture(scope="module")
def ours(sample_fp32: Path, passages: Path) -> Evaluation:
    """What `gpt2-edge eval PACKAGE lambada --data FILE` prints."""
    generator = Generator.load(sample_fp32)
    return lambada.evaluate(lambada.read(passages), generator, lambda _: None)


@pytest.fixture(scope="module")
def server(sample_fp32: Path) -> Iterator[Served]:
    with served(sample_fp32) as running:
        yield running


@pytest.mark.parametrize(
    "settings",
    [
        "",
        ",num_concurrent=4",
        ",batch_size=8",
        ",tokenized_requests=False",
    ],
    ids=["one by one", "concurrent", "batches", "as text"],
)
def test_lambada_has_the_figures_of_our_own_evaluation(
    server: Served,
    sample_fp32: Path,
    passages: Path,
    ours: Evaluation,
    settings: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task = LAMBADA | {"dataset_kwargs": {"data_files": {"test": str(passages)}}}
    (tmp_path / "lambada_file.yaml").write_text(json.dumps(task))  # JSON is YAML too
    context = Generator.load(sample_fp32).context_length
    results = lm_eval.simple_evaluate(
        model="local-completions",
        model_args=f"model=sample,base_url={server.url}/v1/completions,tokenizer={sample_fp32},"
        f"tokenizer_backend=huggingface,max_length={context}{settings}",
        tasks=["lambada_file"],
        task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
    )["results"]["lambada_file"]
    assert ours.items == PASSAGES
    expected = ours.figure("perplexity").value
    assert results["perplexity,none"] == pytest.approx(expected, rel=1e-5)
    accuracy = ours.figure("accuracy").value
    assert 0 < accuracy < 100
    assert 100 * results["acc,none"] == pytest.approx(accuracy)
