"""Does this device compute what the exporting machine did?"""

from __future__ import annotations

from gpt2_edge.config import GenerationConfig
from gpt2_edge.generate import Generator


def run_self_test(generator: Generator) -> list[str]:
    """Run the self-test of the manifest; what differs, a line each (empty: passed)."""
    test = generator.manifest.self_test
    if test is None:
        return ["the manifest has no self-test"]
    logits = generator.logits(test.prompt_ids)[-1]
    problems = [
        f"logit of token {token_id} is {logits[int(token_id)]:.4f}; "
        f"expected {expected:.4f} within {test.tolerance:g}"
        for token_id, expected in test.logits.items()
        if not abs(float(logits[int(token_id)]) - expected) <= test.tolerance
    ]
    if test.expected_ids:
        wanted = GenerationConfig(
            max_new_tokens=len(test.expected_ids), do_sample=False, ignore_eos=True
        )
        ids = generator.with_config().generate(test.prompt_ids, wanted).ids
        if ids != test.expected_ids:
            problems.append(f"greedy tokens are {list(ids)}; expected {list(test.expected_ids)}")
    return problems
