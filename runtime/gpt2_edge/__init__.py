"""GPT-2 on a device: load a package that `gpt2-edge export` wrote, and write text with it.

>>> from gpt2_edge import Generator, text_perplexity
>>> generator = Generator.load("sample-int4")
>>> print(generator.generate("It was a dark night", max_new_tokens=20))
>>> with generator.stream("It was a dark night", temperature=0.8) as pieces:
...     for piece in pieces:
...         print(piece, end="", flush=True)
>>> text_perplexity(generator, "It was the best of times, it was the worst of times").perplexity

Generator writes, GenerationConfig says how. token_logprobs, score_tokens, continuation,
text_perplexity and perplexity tell how likely a text is. Everything that is raised on purpose is a
GPT2EdgeError.
"""

from __future__ import annotations

import importlib
import os

from gpt2_edge._version import __version__

# ONNX Runtime 1.29 and later has a telemetry client on Linux, which writes identifiers into the
# home folder and looks up a host. Off before anything can import it, unless the user has said.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

TYPE_CHECKING = False  # as in typing, which takes a while to load: the command begins with this
if TYPE_CHECKING:
    from typing import Any

    from gpt2_edge.config import EffectiveSettings as EffectiveSettings
    from gpt2_edge.config import GenerationConfig as GenerationConfig
    from gpt2_edge.errors import CheckpointError as CheckpointError
    from gpt2_edge.errors import ContextOverflowError as ContextOverflowError
    from gpt2_edge.errors import EvaluationError as EvaluationError
    from gpt2_edge.errors import ExportError as ExportError
    from gpt2_edge.errors import GenerationError as GenerationError
    from gpt2_edge.errors import GPT2EdgeError as GPT2EdgeError
    from gpt2_edge.errors import MissingDependencyError as MissingDependencyError
    from gpt2_edge.errors import PackageError as PackageError
    from gpt2_edge.errors import ProviderError as ProviderError
    from gpt2_edge.generate import Generator as Generator
    from gpt2_edge.graph.providers import PROVIDERS as PROVIDERS
    from gpt2_edge.jobs import Batch as Batch
    from gpt2_edge.measure.score import ContinuationScorer as ContinuationScorer
    from gpt2_edge.measure.score import bos_token as bos_token
    from gpt2_edge.measure.score import continuation as continuation
    from gpt2_edge.measure.score import perplexity as perplexity
    from gpt2_edge.measure.score import score_tokens as score_tokens
    from gpt2_edge.measure.score import text_perplexity as text_perplexity
    from gpt2_edge.measure.score import token_logprobs as token_logprobs
    from gpt2_edge.measure.scores import Continuation as Continuation
    from gpt2_edge.measure.scores import Perplexity as Perplexity
    from gpt2_edge.measure.scores import ScoredToken as ScoredToken
    from gpt2_edge.prompt_cache import PromptCache as PromptCache
    from gpt2_edge.result import GenerationResult as GenerationResult
    from gpt2_edge.result import NextToken as NextToken
    from gpt2_edge.result import TextEvent as TextEvent
    from gpt2_edge.result import Token as Token
    from gpt2_edge.stream import EventStream as EventStream
    from gpt2_edge.stream import TextStream as TextStream

# Public name -> module. They are imported when they are first asked for, so that the command's
# --help, and a Ctrl-C right after its start, do not wait for NumPy and ONNX Runtime.
_MODULES = {
    "Batch": "jobs",
    "CheckpointError": "errors",
    "ContextOverflowError": "errors",
    "Continuation": "measure.scores",
    "ContinuationScorer": "measure.score",
    "EffectiveSettings": "config",
    "EvaluationError": "errors",
    "EventStream": "stream",
    "ExportError": "errors",
    "GPT2EdgeError": "errors",
    "GenerationConfig": "config",
    "GenerationError": "errors",
    "GenerationResult": "result",
    "Generator": "generate",
    "MissingDependencyError": "errors",
    "NextToken": "result",
    "PROVIDERS": "graph.providers",
    "PackageError": "errors",
    "PromptCache": "prompt_cache",
    "Perplexity": "measure.scores",
    "ProviderError": "errors",
    "ScoredToken": "measure.scores",
    "TextEvent": "result",
    "TextStream": "stream",
    "Token": "result",
    "bos_token": "measure.score",
    "continuation": "measure.score",
    "perplexity": "measure.score",
    "score_tokens": "measure.score",
    "text_perplexity": "measure.score",
    "token_logprobs": "measure.score",
}

__all__ = [*_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gpt2_edge.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
