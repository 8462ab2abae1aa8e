"""A request whose texts are searched together: num_beams of them, the best known at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpt2_edge.decode.beam import Beams, EarlyStopping, Hypothesis
from gpt2_edge.decode.processors import Logits, Processor
from gpt2_edge.decode.request import Criterion, Limits, Request, ShouldStop
from gpt2_edge.sampling import log_probabilities


class BeamTexts(Request):
    """`width` running texts; `best` gives those that have ended, most likely first."""

    def __init__(
        self,
        prompt: Sequence[int],
        limits: Limits,
        width: int,
        processors: Sequence[Processor] = (),
        criteria: Sequence[Criterion] = (),
        *,
        length_penalty: float = 1.0,
        early_stopping: EarlyStopping = False,
        should_stop: ShouldStop | None = None,
    ) -> None:
        super().__init__(prompt, limits, processors, criteria, should_stop)
        self.width = width
        self._beams = Beams(
            width, limits.max_new_tokens, limits.eos_ids, length_penalty, early_stopping
        )
        self._texts: list[list[int]] = [[] for _ in range(width)]

    def best(self, count: int) -> list[Hypothesis]:
        """The best texts that have ended; fewer where the search was cut short."""
        return self._beams.best(count)

    def next_tokens(self) -> list[int]:
        """See Request."""
        return [text[-1] for text in self._texts]

    def accept(self, logits: Logits, full: bool) -> list[int]:
        """See Request. The first logits are the prompt's, [1, vocab]: all beams begin there."""
        self.started, self.pending = True, [0]
        if len(logits) < self.width:
            logits = np.repeat(logits, self.width, axis=0)
        logprobs = np.stack([
            self.processed([*self.prompt, *text], log_probabilities(row))
            if alive
            else np.full_like(row, -np.inf)
            for text, row, alive in zip(self._texts, logits, self._beams.alive, strict=True)
        ])  # fmt: skip
        found = self._beams.candidates(logprobs)
        texts = [[*self._texts[candidate.parent], candidate.token] for candidate in found]
        ended = [
            bool(candidate.score > -np.inf) and (full or self._ended(text))
            for candidate, text in zip(found, texts, strict=True)
        ]
        with self._ending:
            if self.over:
                return []
            running = self._beams.advance(found, texts, ended)
            if not running:
                self.finish_reason = "length" if all(ended) else "eos"
                return []
            self._texts = [[*self._texts[beam.parent], beam.token] for beam in running]
            return [beam.parent for beam in running]

    def _ended(self, text: list[int]) -> bool:
        return (
            text[-1] in self.limits.eos_ids
            or len(text) >= self.limits.max_new_tokens
            or self.stopped([*self.prompt, *text])
        )
