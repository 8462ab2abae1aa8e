"""A package against transformers on the checkpoint it came from."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import CheckpointError, MissingDependencyError, install_hint
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint, open_checkpoint
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.checkpoint.family import GPT2

_PROMPT_TOKENS = 64
_GREEDY_TOKENS = 100
_LOGIT_TOLERANCE = 1e-3  # of an fp32 package


@dataclass(frozen=True)
class Comparison:
    """Largest logit difference over the prompt, agreement of the likeliest token, greedy tokens.

    `greedy` is the number of equal tokens before the first that differs, of `greedy_tokens`.
    `exact` says whether the package claims float precision, so that all of it must agree.
    """

    max_difference: float
    top1: float
    greedy: int
    greedy_tokens: int
    exact: bool

    @property
    def agrees(self) -> bool:
        """False where an fp32 package differs; what quantization costs is no failure."""
        if not self.exact:
            return True
        return self.max_difference <= _LOGIT_TOLERANCE and self.greedy == self.greedy_tokens

    def describe(self) -> str:
        verdict = ("ok" if self.agrees else "DIFFERS") if self.exact else "quantized"
        return (
            f"reference  {verdict}: logits within {self.max_difference:.2g}, top-1 "
            f"{100 * self.top1:.1f}%, greedy {self.greedy} of {self.greedy_tokens} tokens equal"
        )


def compare_with_transformers(generator: Generator, source: str | Path) -> Comparison:
    """Run the package and transformers on the same ids, made up from a fixed seed.

    Raises MissingDependencyError without torch and transformers, CheckpointError where `source`
    is another model.
    """
    checkpoint = open_checkpoint(source)
    architecture = generator.manifest.architecture
    if checkpoint.config.vocab_size != architecture.vocab_size:
        raise CheckpointError(
            f"{source} has {checkpoint.config.vocab_size} tokens, the package "
            f"{architecture.vocab_size}; give the checkpoint that the package came from"
        )
    context = architecture.context_length
    random = np.random.default_rng(0)
    length = max(1, min(_PROMPT_TOKENS, context // 4))
    prompt = random.integers(0, architecture.vocab_size, length).tolist()
    count = max(1, min(_GREEDY_TOKENS, context - length))
    expected_logits, expected_ids = _run_transformers(checkpoint, prompt, count)
    logits = generator.logits(prompt)
    config = GenerationConfig(max_new_tokens=count, do_sample=False, ignore_eos=True)
    ids = generator.with_config().generate(prompt, config).ids
    equal = [ours == theirs for ours, theirs in zip(ids, expected_ids, strict=True)]
    return Comparison(
        max_difference=float(np.abs(logits - expected_logits).max()),
        top1=float((logits.argmax(-1) == expected_logits.argmax(-1)).mean()),
        greedy=equal.index(False) if False in equal else len(equal),
        greedy_tokens=count,
        exact=generator.manifest.recipe["name"] == "fp32",
    )


def _transformers_config(config: GPT2Config) -> dict[str, Any]:
    """The arguments of transformers' GPT2Config that say what `config` says, and no others."""
    arguments = dataclasses.asdict(config)
    # They say nothing about logits, or a GPT-2 has none.
    for key in ("bos_token_id", "eos_token_ids", "attention_windows"):
        del arguments[key]
    return arguments


def _transformers_gpt2(checkpoint: Checkpoint, torch: Any, transformers: Any) -> Any:
    """A GPT-2, wherever it came from, with its tensors as they were read here."""
    config = transformers.GPT2Config(**_transformers_config(checkpoint.config))
    config._attn_implementation = "eager"  # sdpa ignores scale_attn_weights and its relatives
    # In float32, but for what xielu learns, which is bfloat16 however a model is loaded.
    model = transformers.GPT2LMHeadModel(config)
    names = {"lm_head.weight"} & checkpoint.config.tensor_shapes().keys()
    state = {
        name if name in names else f"transformer.{name}": torch.from_numpy(
            np.array(checkpoint.tensor(name))
        )
        for name in checkpoint.config.tensor_shapes()
    }
    _, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    return model


def _as_transformers_reads(checkpoint: Checkpoint, torch: Any, transformers: Any) -> Any:
    """A model of another family: what transformers itself makes of the files."""
    if not checkpoint.as_transformers_saves:
        raise CheckpointError(
            f"{checkpoint.source}: transformers does not find its tensors, whose names have "
            "another prefix; save it with save_pretrained"
        )
    return transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint.folder, attn_implementation="eager", dtype=torch.float32
    )


def _run_transformers(
    checkpoint: Checkpoint, prompt: list[int], count: int
) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Logits [prompt, vocab] and `count` greedy tokens of transformers' model in float32."""
    try:
        torch = importlib.import_module("torch")
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise MissingDependencyError(
            f"comparing with transformers needs {install_hint('optimum')}"
        ) from error
    build = _transformers_gpt2 if checkpoint.family is GPT2 else _as_transformers_reads
    model = build(checkpoint, torch, transformers).eval()
    ids = torch.tensor([prompt])
    with torch.no_grad():
        step = model(ids, use_cache=True)
        logits = step.logits[0].numpy()
        tokens = [int(logits[-1].argmax())]
        while len(tokens) < count:
            step = model(
                torch.tensor([[tokens[-1]]]), past_key_values=step.past_key_values, use_cache=True
            )
            tokens.append(int(step.logits[0, -1].argmax()))
    return logits, tokens
