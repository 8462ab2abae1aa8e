"""gpt2-edge, by its public API."""

from __future__ import annotations

import time
from typing import Any

from measure import Generate, Times, serve

from gpt2_edge import Generator


def load(work: dict[str, Any]) -> Generate:
    """The package on the CPU."""
    model = Generator.load(work["model"], provider="cpu", threads=work["threads"])

    def generate(prompts: list[list[int]], new: int) -> Times:
        settings: dict[str, Any] = {"max_new_tokens": new, "ignore_eos": True, "do_sample": False}
        times: Times = [[] for _ in prompts]
        if len(prompts) == 1:
            for _ in model.tokens(prompts[0], **settings):
                times[0].append(time.perf_counter())
            return times
        with model.stream_batch(prompts, **settings) as stream:
            for number, _ in stream:
                times[number].append(time.perf_counter())
        return times

    return generate


if __name__ == "__main__":
    serve(load)
