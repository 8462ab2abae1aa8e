"""llama.cpp through llama-cpp-python's bindings of its C API: what llama-bench calls, too."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
from measure import Generate, Times, serve

_SILENT = llama.llama_log_callback(lambda level, text, data: None)
_BATCH = 512  # llama.cpp's n_ubatch; longer prompts go in parts


class Context:
    """A cache for `rows` texts of up to `length` tokens each, and the step through the model."""

    def __init__(self, model: Any, rows: int, length: int, threads: int) -> None:
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_seq_max = rows * length, rows
        params.n_batch = params.n_ubatch = _BATCH
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self._context = llama.llama_init_from_model(model, params)
        if not self._context:
            raise RuntimeError("llama.cpp made no context")
        self._vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
        self._batch = llama.llama_batch_init(_BATCH, 0, 1)

    def step(self, tokens: Sequence[tuple[int, int, int, bool]]) -> list[int]:
        """Feed (token, position, row, wanted); the likeliest next tokens where wanted."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, (token, position, row, wanted) in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, row
            batch.logits[index] = wanted
        if llama.llama_decode(self._context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        found = []
        for index, (_, _, _, wanted) in enumerate(tokens):
            if wanted:
                logits = llama.llama_get_logits_ith(self._context, index)
                found.append(int(np.argmax(np.ctypeslib.as_array(logits, (self._vocab,)))))
        return found

    def clear(self) -> None:
        """Forget all texts."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), False)

    def close(self) -> None:
        """Let go of the cache."""
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)


def load(work: dict[str, Any]) -> Generate:
    """The GGUF, mapped as is llama.cpp's default."""
    llama.llama_log_set(_SILENT, ctypes.c_void_p())
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(
        str(work["model"]).encode(), llama.llama_model_default_params()
    )
    if not model:
        raise RuntimeError(f"llama.cpp does not load {work['model']}")
    single = Context(model, 1, work["context"], work["threads"])

    def generate(prompts: list[list[int]], new: int) -> Times:
        if len(prompts) == 1:
            single.clear()
            return greedy(single, prompts, new)
        length = -(-(len(prompts[0]) + new) // 256) * 256  # llama.cpp takes multiples
        context = Context(model, len(prompts), length, work["threads"])
        try:
            return greedy(context, prompts, new)
        finally:
            context.close()

    return generate


def greedy(context: Context, prompts: list[list[int]], new: int) -> Times:
    """Each prompt in parts, then all rows together, token by token."""
    times: Times = [[] for _ in prompts]
    latest = []
    for row, prompt in enumerate(prompts):
        fed = [(t, position, row, position == len(prompt) - 1) for position, t in enumerate(prompt)]
        for start in range(0, len(fed), _BATCH):
            found = context.step(fed[start : start + _BATCH])
        times[row].append(time.perf_counter())
        latest += found
    for position in range(len(prompts[0]), len(prompts[0]) + new - 1):
        latest = context.step([(t, position, row, True) for row, t in enumerate(latest)])
        for row in times:
            row.append(time.perf_counter())
    return times


if __name__ == "__main__":
    serve(load)
