"""transformers on torch, or optimum on ONNX Runtime: the same `generate`, in float32."""

from __future__ import annotations

import time
from typing import Any

import torch
from measure import Generate, Times, serve
from transformers import StoppingCriteria, StoppingCriteriaList


class Clock(StoppingCriteria):  # type: ignore[misc]
    """Notes when each token came, and stops nothing."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, ids: Any, scores: Any, **others: Any) -> Any:
        """After each token of all rows."""
        self.times.append(time.perf_counter())
        return torch.zeros(len(ids), dtype=torch.bool)


def load(work: dict[str, Any]) -> Generate:
    """work["engine"]: "transformers" on a checkpoint, "optimum" on the folder that it exported."""
    torch.set_num_threads(work["threads"])
    model: Any
    if work["engine"] == "optimum":
        import onnxruntime
        from optimum.onnxruntime import ORTModelForCausalLM

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = work["threads"]
        model = ORTModelForCausalLM.from_pretrained(work["model"], session_options=options)
    else:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(work["model"], dtype=torch.float32).eval()

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]
    def generate(prompts: list[list[int]], new: int) -> Times:
        clock = Clock()
        ids = torch.tensor(prompts)
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=new,
            min_new_tokens=new,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([clock]),
        )
        return [clock.times for _ in prompts]

    return generate


if __name__ == "__main__":
    serve(load)
