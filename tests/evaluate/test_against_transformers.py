"""The same protocols written once more, with transformers and torch, on real data.

Windows, the split of a passage and the substitution of a pronoun are programmed anew here, so
that a mistake in ours would show; texts are tokenized by the tokenizers library's own class.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import Generator
from gpt2_edge.measure.evaluate import lambada, wikitext2, winograd
from gpt2_edge.measure.evaluate.scoring import TextScorer

pytestmark = [pytest.mark.optimum, pytest.mark.shared]

PASSAGES = 200


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def model(torch: Any, sample_checkpoint: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2LMHeadModel.from_pretrained(sample_checkpoint).eval()


@pytest.fixture(scope="module")
def tokenizer(sample_checkpoint: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(sample_checkpoint)


@pytest.fixture(scope="module")
def data(shared_data: Path) -> Path:
    folder = shared_data / "data" / "eval"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder


def token_losses(torch: Any, model: Any, ids: Sequence[int], targets: int) -> Any:
    """Cross entropy of the last `targets` of `ids`, and whether each is the likeliest token."""
    given = torch.tensor([list(ids)])
    with torch.no_grad():
        logits = model(given).logits[0, -targets - 1 : -1].double()
    wanted = given[0, -targets:]
    losses = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
    return losses, logits.argmax(-1) == wanted


def test_wikitext2(
    torch: Any, model: Any, tokenizer: Any, data: Path, fp32: Generator, silent: Callable[..., None]
) -> None:
    lines = 60
    path = data / "wikitext-2-test.raw"
    with path.open(encoding="utf-8", newline="\n") as file:
        text = "".join(next(file) for _ in range(lines))
    ids = tokenizer(text)["input_ids"]
    assert len(ids) > 3000
    # transformers' documentation, "Perplexity of fixed-length models"
    length, stride, losses, seen = 512, 200, [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + length, len(ids))
        new = min(end - seen, end - begin - 1)
        losses.append(token_losses(torch, model, ids[begin:end], new)[0])
        seen = end
        if end == len(ids):
            break
    every = torch.cat(losses)
    assert len(every) == len(ids) - 1

    evaluation = wikitext2.evaluate(
        wikitext2.read(path, lines), fp32, silent, window=length, stride=stride
    )
    expected = float(torch.exp(every.mean()))
    assert evaluation.figure("perplexity per token").value == pytest.approx(expected, rel=5e-5)
    words = len(re.findall(r"\S+", text))
    expected = float(torch.exp(every.sum() / words))
    assert evaluation.figure("perplexity per word").value == pytest.approx(expected, rel=5e-5)


def test_lambada(
    torch: Any, model: Any, tokenizer: Any, data: Path, fp32: Generator, silent: Callable[..., None]
) -> None:
    path = data / "lambada_test.jsonl"
    losses, hits = [], []
    for line in path.read_text("utf-8").split("\n")[:PASSAGES]:
        text = json.loads(line)["text"]
        match = re.fullmatch(r"(?s)(.*\S)( \S+)", text)
        assert match
        context, word = (tokenizer(part)["input_ids"] for part in match.groups())
        loss, hit = token_losses(torch, model, (context + word)[-513:], len(word))
        losses.append(float(loss.sum()))
        hits.append(bool(hit.all()))

    passages = lambada.read(path, PASSAGES)
    scorer = TextScorer(fp32)
    scored = [lambada.score(scorer, passage) for passage in passages]
    assert [each.greedy for each in scored] == hits
    assert 0 < sum(hits) < PASSAGES
    assert [each.logprob for each in scored] == pytest.approx([-loss for loss in losses], abs=1e-3)
    evaluation = lambada.evaluate(passages, fp32, silent)
    expected = float(torch.tensor(losses, dtype=torch.float64).mean().exp())
    assert evaluation.figure("perplexity").value == pytest.approx(expected, rel=5e-5)


def test_winograd(torch: Any, model: Any, tokenizer: Any, data: Path, fp32: Generator) -> None:
    path = data / "wsc273.jsonl"
    expected = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        partial, full = [], []
        for option in row["options"]:
            beginning, sentence = written_anew(row, option)
            whole = tokenizer(sentence)["input_ids"]
            rest = len(whole) - len(tokenizer(beginning)["input_ids"])
            partial.append(float(token_losses(torch, model, whole, rest)[0].sum()))
            whole = [tokenizer.bos_token_id, *whole]
            full.append(float(token_losses(torch, model, whole, len(whole) - 1)[0].sum()))
        expected.append((partial.index(min(partial)), full.index(min(full))))

    scorer = TextScorer(fp32)
    outcomes = [winograd.score(scorer, problem) for problem in winograd.read(path)]
    assert [(outcome.partial, outcome.full) for outcome in outcomes] == expected
    assert len(set(expected)) == 4  # each scoring chooses either, whatever the other does


def written_anew(row: dict[str, Any], option: str) -> tuple[str, str]:
    """The sentence up to the option, and all of it."""
    before, pronoun, after = row["before"], row["pronoun"], row["after"]
    if re.search(r"[.!?]$", before):
        option = option[:1].upper() + option[1:]
    else:
        option = re.sub(r"^(The|His|My)\b", lambda match: match[0].lower(), option)
    if pronoun in ("his", "her"):  # the data has no "her" that is an object
        option = f"{option}'s"
    beginning = f"{before} {option}"
    return beginning, beginning + re.sub(r"^(?!\.)", " ", after)
