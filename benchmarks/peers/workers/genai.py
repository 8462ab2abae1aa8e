"""onnxruntime-genai on a package of ours."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import onnxruntime_genai as genai
from measure import Generate, Times, serve


def load(work: dict[str, Any]) -> Generate:
    """The package, with the threads that are asked for in place of its own."""
    config = genai.Config(str(work["model"]))
    options = {"intra_op_num_threads": work["threads"]}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
    model = genai.Model(config)

    def generate(prompts: list[list[int]], new: int) -> Times:
        parameters = genai.GeneratorParams(model)
        length = len(prompts[0]) + new
        parameters.set_search_options(
            do_sample=False, batch_size=len(prompts), max_length=length, min_length=length
        )
        generator = genai.Generator(model, parameters)
        generator.append_tokens(np.array(prompts, np.int32))
        times = []
        for _ in range(new):
            generator.generate_next_token()
            times.append(time.perf_counter())
        return [times for _ in prompts]

    return generate


if __name__ == "__main__":
    serve(load)
