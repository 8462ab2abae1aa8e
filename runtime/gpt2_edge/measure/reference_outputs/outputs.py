"""Published outputs of the 124M gpt2 weights (gpt2.json), and what a package gives instead."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import PackageError
from gpt2_edge.files.manifest import Architecture
from gpt2_edge.files.package import Package
from gpt2_edge.generate import Generator
from gpt2_edge.measure.score import token_logprobs
from gpt2_edge.text.tokenizer import Tokenizer

GPT2 = Architecture(
    num_layers=12,
    num_heads=12,
    head_size=64,
    hidden_size=768,
    vocab_size=50257,
    context_length=1024,
)
# Added to the sources' tolerances: logits around -100 have a resolution of 1e-5 in float32, and
# other kernels add up in another order. A wrong activation function is off by far more.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Check:
    """What became of one published output.

    agrees: None where it was not run. required: whether an fp32 package must agree; not where the
    source itself computed in half precision.
    """

    name: str
    source: str
    agrees: bool | None
    required: bool
    detail: str

    def describe(self) -> str:
        verdict = "skipped" if self.agrees is None else "ok" if self.agrees else "differs"
        return f"{verdict:<7}  {self.name}: {self.detail} ({self.source.split()[0]})"


@dataclass(frozen=True)
class Greedy:
    """A greedy continuation, as text or ids, with the log-probabilities of its first tokens."""

    source: str
    prompt: str
    prompt_ids: tuple[int, ...] = ()
    text: str | None = None
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    tolerance: float = 0.0
    half_precision: bool = False

    def check(self, generator: Generator) -> Check:
        prompt = list(self.prompt_ids) or generator.encode(self.prompt)
        expected = list(self.ids)
        if self.text is not None:
            expected = generator.encode(self.prompt + self.text)[len(prompt) :]
        # The same text may be written in more tokens than the tokenizer would take for it.
        config = GenerationConfig(
            max_new_tokens=2 * len(expected),
            do_sample=False,
            ignore_eos=True,
            logprobs=bool(self.logprobs),
        )
        result = generator.with_config().generate(prompt, config)
        equal = _common(result.ids, expected)
        agrees = equal == len(expected)
        if self.text is not None:
            agrees = (result.text or "").startswith(self.text)
        detail = f"{equal} of {len(expected)} tokens equal"
        if self.logprobs:
            difference = _largest_difference(result.logprobs or (), self.logprobs)
            agrees = agrees and difference <= self.tolerance + _ROUNDING
            detail += f", log-probabilities within {difference:.2g}"
        name = f'greedy "{self.prompt}"'
        return Check(name, self.source, agrees, not self.half_precision, detail)


@dataclass(frozen=True)
class Next:
    """The most likely token after a prompt, and its logit."""

    source: str
    prompt: str
    id: int
    logit: float
    tolerance: float

    def check(self, generator: Generator) -> Check:
        logits = generator.logits(self.prompt, keep=1)[0]
        chosen = int(logits.argmax())
        difference = abs(float(logits[self.id]) - self.logit)
        agrees = chosen == self.id and difference <= self.tolerance + _ROUNDING
        detail = f"next token {chosen} of {self.id}, its logit within {difference:.2g}"
        return Check(f'logit "{self.prompt}"', self.source, agrees, True, detail)


@dataclass(frozen=True)
class Loss:
    """The mean negative log-probability of all but the first token of each sequence."""

    source: str
    name: str
    sequences: tuple[tuple[int, ...], ...]
    loss: float
    tolerance: float

    def check(self, generator: Generator) -> Check:
        logprobs = [p for ids in self.sequences for p in token_logprobs(generator, ids).tolist()]
        loss = -math.fsum(logprobs) / len(logprobs)
        agrees = abs(loss - self.loss) <= self.tolerance + _ROUNDING
        detail = f"{loss:.5f} of {self.loss:.5f}"
        return Check(f'loss "{self.name}"', self.source, agrees, True, detail)


@dataclass(frozen=True)
class Skipped:
    """An output that is known but not run, and why."""

    source: str
    name: str
    reason: str

    def check(self, generator: Generator) -> Check:
        return Check(self.name, self.source, None, False, self.reason)


Output = Greedy | Next | Loss | Skipped
_KINDS: dict[str, type[Any]] = {"greedy": Greedy, "next": Next, "loss": Loss, "skipped": Skipped}


def read_outputs() -> list[Output]:
    """The outputs of gpt2.json."""
    raw = json.loads(
        files("gpt2_edge.measure.reference_outputs").joinpath("gpt2.json").read_text("utf-8")
    )
    outputs = []
    for item in raw["items"]:
        kind = _KINDS[item.pop("kind")]
        outputs.append(kind(**{name: _frozen(value) for name, value in item.items()}))
    return outputs


def require_gpt2(package: Package, outputs: Sequence[Output]) -> None:
    """Raise PackageError unless `package` has GPT-2's smallest architecture and its tokenizer."""
    manifest = package.manifest
    wrong = None
    if manifest.architecture != GPT2:
        a = manifest.architecture
        wrong = f"{a.num_layers} layers of width {a.hidden_size}, {a.vocab_size} tokens"
    elif manifest.tokenizer is None:
        wrong = "no tokenizer"
    else:
        tokenizer = Tokenizer(package.folder / manifest.tokenizer)
        known = (o for o in outputs if isinstance(o, Greedy) and o.prompt_ids)
        if any(tuple(tokenizer.encode(output.prompt)) != output.prompt_ids for output in known):
            wrong = "another tokenizer"
    if wrong is not None:
        raise PackageError(
            f"{package.folder} has {wrong}; published outputs are those of gpt2 (12 layers of "
            f"width 768, 50257 tokens) with its own tokenizer"
        )


def check_outputs(generator: Generator, outputs: Sequence[Output]) -> Iterator[Check]:
    """What the package gives for each of `outputs`, one after another."""
    for output in outputs:
        yield output.check(generator)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many ids the two begin with alike."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def _largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=False))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
