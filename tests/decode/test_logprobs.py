"""Log-probabilities of a token and its alternatives: of one softmax, and the right ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpt2_edge.decode.request import Limits, SingleText
from gpt2_edge.sampling import greedy, log_probability


class Counted(np.ndarray):  # type: ignore[type-arg]
    """An array that counts how often exponentials are taken of all of it."""

    taken = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        Counted.taken += ufunc is np.exp
        plain = [each.view(np.ndarray) if isinstance(each, Counted) else each for each in inputs]
        result = getattr(ufunc, method)(*plain, **kwargs)
        whole = isinstance(result, np.ndarray) and result.shape == self.shape
        return result.view(Counted) if whole else result


@pytest.mark.parametrize("logprobs", [True, False])
@pytest.mark.parametrize("alternatives", [0, 1, 20])
def test_one_softmax_for_a_token_and_its_alternatives(logprobs: bool, alternatives: int) -> None:
    logits = np.random.default_rng(1).normal(size=500).astype(np.float32)
    text = SingleText(
        [1],
        Limits(1),
        lambda logits, number: int(np.argmin(logits)),  # no alternative has it
        logprobs=logprobs,
        top_logprobs=alternatives,
    )
    Counted.taken = 0
    text.accept(logits.view(Counted)[None], full=False)
    assert Counted.taken == (1 if logprobs or alternatives else 0)
    (event,) = text.events
    token = int(np.argmin(logits))
    assert event.ids == (token,)
    assert event.logprobs == ((log_probability(logits, token),) if logprobs else ())
    if not alternatives:
        assert event.top_logprobs == ()
        return
    (found,) = event.top_logprobs
    assert len(found) == alternatives
    assert found[0][0] == greedy(logits)
    assert all(logprob == log_probability(logits, other) for other, logprob in found)
