"""Scoring a corpus, or continuing a million prompts, on many machines: classes for Ray Data.

>>> import ray.data
>>> from gpt2_edge.ray import Scorer
>>> texts = ray.data.read_parquet("corpus/")
>>> scored = texts.map_batches(
...     Scorer,
...     fn_constructor_kwargs={"package": "sample-int4"},
...     num_cpus=2,
...     compute=ray.data.ActorPoolStrategy(size=8),
... )
>>> scored.write_parquet("scored/")

Ray makes one of them in each actor, which so loads the package once. What they take and give are
columns: NumPy arrays by name, as Ray has them by default, or a pandas DataFrame, as PySpark's
`mapInPandas` has them. Nothing here imports Ray. A row's figures and text do not depend on what
rows are beside it, nor on which machine of one kind they are computed, so a batch that Ray gives to
another actor comes out the same. A row that cannot be done (an empty text, a prompt longer than the
context) has its reason in the column "error", and ends nothing.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from gpt2_edge.calls import make_job
from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import ContextOverflowError, GenerationError
from gpt2_edge.generate import Generator
from gpt2_edge.measure.score import bos_token, perplexity, text_perplexity
from gpt2_edge.result import GenerationResult
from gpt2_edge.untrusted import shown

# Columns by their names: a dictionary of NumPy arrays, or a pandas DataFrame.
Columns = TypeVar("Columns", bound=Any)

_NO_TEXT = "the row has no text"
# Other errors are the package's or the machine's: they end the batch, and Ray tells them.
_OF_A_ROW = (ContextOverflowError, GenerationError)


class Scorer:
    """How likely each text of a column is to the model.

    Adds the columns `tokens` (int64; how many were predicted: all of them, the first behind the bos
    token), `negative_log_likelihood` (float64; of all of them, in nats), `perplexity`,
    `bits_per_byte` (float64; NaN where there is an error), and `error` ("" where there is none).
    Texts longer than the context are scored in windows, as by `text_perplexity`.

    Raises what `Generator.load` raises, and GenerationError for a package without a tokenizer or a
    bos token, and for a window or stride that cannot be. A call raises GenerationError where there
    is no such column.

    Args:
        package: the folder, at this path on every node.
        column: of the texts.
        threads: of ONNX Runtime; None takes as many as Ray gives the actor (`num_cpus`), elsewhere
            one per physical core.
        window: as in `text_perplexity`.
        stride: as in `text_perplexity`.
    """

    def __init__(
        self,
        package: str | Path,
        column: str = "text",
        *,
        threads: int | None = None,
        window: int | None = None,
        stride: int | None = None,
    ) -> None:
        self._generator = _loaded(package, threads)
        self._column, self._window, self._stride = column, window, stride
        # What would be wrong with every row is told once, here.
        nothing = bos_token(self._generator)
        perplexity(self._generator, [nothing, nothing], window, stride)

    def __call__(self, batch: Columns) -> Columns:
        """`batch` with the columns added."""
        rows = [self._score(text) for text in _values(batch, self._column)]
        tokens, loss, perplexity, bits, errors = zip(*rows, strict=True) if rows else [()] * 5
        return _with_columns(
            batch,
            {
                "tokens": np.array(tokens, np.int64),
                "negative_log_likelihood": np.array(loss, np.float64),
                "perplexity": np.array(perplexity, np.float64),
                "bits_per_byte": np.array(bits, np.float64),
                "error": np.array(errors, object),
            },
        )

    def _score(self, text: object) -> tuple[int, float, float, float, str]:
        try:
            if not isinstance(text, str):
                raise GenerationError(_NO_TEXT)
            result = text_perplexity(self._generator, text, self._window, self._stride, bos=True)
        except _OF_A_ROW as error:
            return 0, math.nan, math.nan, math.nan, str(error)
        bits = result.bits_per_byte
        return (
            result.tokens,
            result.negative_log_likelihood,
            result.perplexity,
            math.nan if bits is None else bits,
            "",
        )


class Continuer:
    """A continuation of each prompt of a column; those of a batch take their steps together.

    Adds the columns `continuation`, `finish_reason` (as of GenerationResult, "" where there is an
    error), `generated_tokens` (int64), and `error` ("" where there is none).

    A row's seed is made of the settings' `seed` (default 0) and of its value in `id_column`, so
    that it is drawn alike wherever and whenever it is computed.

    Raises what `Generator.load` raises, and GenerationError for settings that cannot be. A call
    raises GenerationError where there is no such column.

    Args:
        package: the folder, at this path on every node.
        column: of the prompts.
        settings: those of `Generator.generate`, by name, such as {"max_new_tokens": 40}.
        id_column: of what tells rows apart; None takes the prompts.
        threads: as of Scorer.
    """

    def __init__(
        self,
        package: str | Path,
        column: str = "prompt",
        *,
        settings: Mapping[str, Any] | None = None,
        id_column: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._config = GenerationConfig().updated(settings or {})
        self._generator = _loaded(package, threads)
        self._column, self._id_column = column, id_column or column
        make_job(self._generator, [0], self._config, None, {})  # settings that no row can have

    def __call__(self, batch: Columns) -> Columns:
        """`batch` with the columns added."""
        prompts = _values(batch, self._column)
        ids = _values(batch, self._id_column)
        results = self._continue(prompts, [self._config_of(row) for row in ids])
        done = [result if isinstance(result, GenerationResult) else None for result in results]
        texts = [(result.text or "") if result else "" for result in done]
        return _with_columns(
            batch,
            {
                "continuation": np.array(texts, object),
                "finish_reason": np.array([r.finish_reason if r else "" for r in done], object),
                "generated_tokens": np.array([len(r.ids) if r else 0 for r in done], np.int64),
                "error": np.array([r if isinstance(r, str) else "" for r in results], object),
            },
        )

    def _continue(
        self, prompts: Sequence[object], configs: Sequence[GenerationConfig]
    ) -> list[GenerationResult | str]:
        """The result of each prompt, or why it has none."""
        results: list[GenerationResult | str] = [_NO_TEXT] * len(prompts)
        left: list[int] = []
        for i, prompt in enumerate(prompts):
            if not isinstance(prompt, str):
                continue
            try:
                make_job(self._generator, prompt, configs[i], None, {})
            except _OF_A_ROW as error:  # in a batch it would end all others
                results[i] = str(error)
            else:
                left.append(i)
        # A lone row is rounded otherwise than several in int4: it gets itself for company.
        asked = left * 2 if len(left) == 1 else left
        texts = [cast("str", prompts[i]) for i in asked]
        done = self._generator.generate_batch(texts, [configs[i] for i in asked])
        for i, result in zip(asked, done, strict=True):
            results[i] = result
        return results

    def _config_of(self, row: object) -> GenerationConfig:
        named = f"{self._config.seed or 0}/{row}".encode("utf-8", "surrogatepass")
        seed = int.from_bytes(hashlib.sha256(named).digest()[:4], "little")
        return self._config.updated({"seed": seed})


def _loaded(package: str | Path, threads: int | None) -> Generator:
    if threads is None:
        # Ray sets it to the processors that it gives an actor; ONNX Runtime does not look at it.
        given = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(given) if given.isdecimal() and int(given) else None
    generator = Generator.load(package, threads=threads)
    if generator.tokenizer is None:
        raise GenerationError(f"{generator.package.folder} has no tokenizer; rows are texts")
    return generator


def _values(batch: Any, column: str) -> list[object]:
    if column not in batch:
        has = ", ".join(shown(str(name)) for name in batch)
        raise GenerationError(f"the rows have no column {shown(column)}; they have {has}")
    return list(batch[column])


def _with_columns(batch: Columns, columns: dict[str, Any]) -> Columns:
    added: Any = batch.assign(**columns) if hasattr(batch, "assign") else {**batch, **columns}
    return cast("Columns", added)
