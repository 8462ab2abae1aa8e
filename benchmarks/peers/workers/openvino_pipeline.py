"""OpenVINO GenAI's LLMPipeline."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import openvino
import openvino_genai
from measure import Generate, Times, serve


class Clock(openvino_genai.StreamerBase):  # type: ignore[misc]
    """Notes when each token came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def write(self, tokens: Any) -> Any:
        """Of one token, or of several that came together."""
        count = len(tokens) if isinstance(tokens, list) else 1
        self.times += [time.perf_counter()] * count
        return openvino_genai.StreamingStatus.RUNNING

    def end(self) -> None:
        """All came."""


def load(work: dict[str, Any]) -> Generate:
    """The folder that optimum-intel wrote."""
    pipeline = openvino_genai.LLMPipeline(
        str(work["model"]), "CPU", INFERENCE_NUM_THREADS=work["threads"]
    )

    def run(prompts: list[list[int]], new: int, clock: Clock | None) -> None:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = new
        config.ignore_eos, config.do_sample = True, False
        ids = np.array(prompts, np.int64)
        inputs = openvino_genai.TokenizedInputs(
            openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids))
        )
        if clock is None:
            pipeline.generate(inputs, config)
        else:
            pipeline.generate(inputs, config, clock)

    def generate(prompts: list[list[int]], new: int) -> Times:
        if len(prompts) == 1:
            clock = Clock()
            run(prompts, new, clock)
            return [clock.times]
        # It streams one text only. The time of the first tokens is that of a run which ends there.
        moments = []
        for count in (1, new):
            started = time.perf_counter()
            run(prompts, count, None)
            moments.append(time.perf_counter() - started)
        return [moments for _ in prompts]

    return generate


if __name__ == "__main__":
    serve(load)
