"""What the GPT-2 paper reports, zero-shot: its table 3, and section 3.4 for Winograd.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". Perplexities, and
accuracies in percent, by the paper's name of the model. How each was measured, and where that
differs from here: docs/EVALUATION.md.
"""

from __future__ import annotations

Published = dict[str, float]

# The models that transformers calls gpt2, gpt2-medium, gpt2-large and gpt2-xl.
MODELS = ("117M", "345M", "762M", "1542M")


def _row(*values: float) -> Published:
    return dict(zip(MODELS, values, strict=True))


LAMBADA_PERPLEXITY = _row(35.13, 15.60, 10.87, 8.63)
LAMBADA_ACCURACY = _row(45.99, 55.48, 60.12, 63.24)
CBT_COMMON_NOUNS = _row(87.65, 92.35, 93.45, 93.30)
CBT_NAMED_ENTITIES = _row(83.4, 87.1, 88.0, 89.05)
WIKITEXT2_PERPLEXITY = _row(29.41, 22.76, 19.93, 18.34)
WINOGRAD_ACCURACY = {"1542M": 70.70}  # the smaller models are in a figure without numbers
