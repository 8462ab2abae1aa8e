"""A package as a model of EleutherAI's lm-evaluation-harness: importing this registers "gpt2-edge".

python -m gpt2_edge.measure.lm_eval_adapter run --model gpt2-edge --model_args package=gpt2-int4 \
    --tasks lambada_openai

is the harness's own command `lm-eval`, with that model among its own. The runtime never imports
this module; it needs the extra [lm-eval].
"""
# mypy: disable-error-code="import-not-found,misc"
# (the harness is not among what the type checker's environment has)

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import (
    GenerationError,
    GPT2EdgeError,
    MissingDependencyError,
    install_hint,
)
from gpt2_edge.generate import Generator
from gpt2_edge.measure.score import ContinuationScorer, bos_token
from gpt2_edge.settings import RULES

try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
    from tqdm import tqdm
except ImportError as error:
    _MISSING = f"lm-evaluation-harness is missing ({error}): {install_hint('lm-eval')}"
    if __name__ == "__main__":
        sys.stderr.write(f"gpt2-edge: {_MISSING}\n")
        sys.exit(2)
    raise MissingDependencyError(_MISSING) from error

_MAX_GEN_TOKS = 256  # the harness's default
_TRANSLATED = ("until", "max_gen_toks")


@register_model("gpt2-edge")
class GPT2EdgeLM(TemplateLM):
    """The package in the folder `package`, on the CPU, one sequence at a time.

    Requests whose contexts begin alike, as those of one multiple-choice question do, share the
    work on that beginning. threads: as in Generator.load. max_gen_toks: how many tokens
    generate_until writes where the task does not say. batch_size, max_batch_size and device are
    what the harness gives every model; they change nothing here.
    """

    def __init__(
        self,
        package: str,
        threads: int | None = None,
        max_gen_toks: int = _MAX_GEN_TOKS,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        self.generator = Generator.load(str(package), threads=threads)
        if self.generator.tokenizer is None:
            raise GenerationError(f"{package} has no tokenizer; the harness's tasks are text")
        self.max_gen_toks = max_gen_toks
        self.max_length = self.generator.manifest.architecture.context_length

    @property
    def eot_token_id(self) -> int:
        """What comes before a text that has no context."""
        return bos_token(self.generator)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Token ids of `string`, without special tokens unless the harness asks for them."""
        assert self.generator.tokenizer is not None
        return self.generator.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens))

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,
    ) -> list[tuple[float, bool]]:
        answers: dict[int, tuple[float, bool]] = {}
        scorer = ContinuationScorer(self.generator)
        # In this order neighbours share the longest beginnings.
        order = sorted(range(len(requests)), key=lambda i: requests[i][1] + requests[i][2])
        for i in tqdm(order, desc="log-likelihoods", disable=disable_tqdm):
            cache_key, context, continuation = requests[i]
            found = scorer.score(context, continuation)
            answers[i] = (found.logprob, found.greedy)
            if cache_key is not None:
                self.cache_hook.add_partial("loglikelihood", cache_key, answers[i])
        return [answers[i] for i in range(len(requests))]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihood of each whole text, in the harness's own windows."""
        answers = []
        for request in tqdm(requests, desc="rolling log-likelihoods", disable=disable_tqdm):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            parts = [(None, *make_disjoint_window(window)) for window in windows]
            answers.append(sum(x for x, _ in self._loglikelihood_tokens(parts, disable_tqdm=True)))
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answers[-1])
        return answers

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """A text for each (context, settings); a context that leaves no room loses its beginning.

        The settings are GenerationConfig's, and the harness's `until` and `max_gen_toks`.
        """
        texts = []
        for request in tqdm(requests, desc="texts", disable=disable_tqdm):
            context, settings = request.args
            config = self._config(settings)
            limit = config.resolved(self.generator.generation_config).max_new_tokens
            room = self.max_length - limit
            if room < 1:
                raise GenerationError(
                    f"max_gen_toks is {limit} and the model's context "
                    f"{self.max_length}: give a smaller one, as in "
                    "--model_args package=...,max_gen_toks=64"
                )
            prompt = self.tok_encode(context)[-room:] or [self.prefix_token_id]
            texts.append(self.generator.generate(prompt, config).text or "")
            self.cache_hook.add_partial("generate_until", request.args, texts[-1])
        return texts

    def get_model_info(self) -> dict[str, Any]:
        """What the harness writes into its results."""
        manifest = self.generator.manifest
        return {
            "model_name": manifest.name,
            "model_recipe": manifest.recipe["name"],
            "model_sha256": manifest.files[manifest.graph.file].sha256,
        }

    def _config(self, settings: dict[str, Any]) -> GenerationConfig:
        known = RULES.keys()
        unknown = sorted(settings.keys() - known - set(_TRANSLATED))
        if unknown:
            raise GenerationError(
                f"the task asks for {', '.join(unknown)}, which gpt2-edge cannot generate with"
            )
        chosen = {name: value for name, value in settings.items() if name in known}
        # Greedy unless the task says otherwise, also where it gives a top_p that is not used.
        chosen.setdefault("do_sample", float(settings.get("temperature") or 0) > 0)
        if chosen["do_sample"] is False:
            chosen["temperature"] = 0.0
        until = settings.get("until") or []
        stops = [until] if isinstance(until, str) else until
        chosen["stop_strings"] = tuple(stop for stop in stops if stop)
        chosen.setdefault("max_new_tokens", settings.get("max_gen_toks", self.max_gen_toks))
        return GenerationConfig(**chosen)


def main() -> None:
    """The harness's command, with errors of a package in one line and exit status 2."""
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except GPT2EdgeError as error:
        sys.stderr.write(f"gpt2-edge: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
