"""CTranslate2's Generator."""

from __future__ import annotations

import time
from typing import Any

import ctranslate2
from measure import Generate, Times, serve


def load(work: dict[str, Any]) -> Generate:
    """The folder that its converter wrote, its ids under names as in formats.py."""
    generator = ctranslate2.Generator(
        str(work["model"]),
        device="cpu",
        inter_threads=1,
        intra_threads=work["threads"],
        compute_type="int8",
    )
    names = work["names"]

    def generate(prompts: list[list[int]], new: int) -> Times:
        times: Times = [[] for _ in prompts]

        def note(step: Any) -> bool:
            times[step.batch_id].append(time.perf_counter())
            return False

        generator.generate_batch(
            [[names[token] for token in prompt] for prompt in prompts],
            beam_size=1,
            sampling_topk=1,
            max_length=new,
            min_length=new,
            include_prompt_in_result=False,
            callback=note,
        )
        return times

    return generate


if __name__ == "__main__":
    serve(load)
