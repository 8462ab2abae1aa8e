"""A model that is a function of the tokens, behind the interface of Rows; and the plain loop."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from gpt2_edge.decode.beam_texts import BeamTexts
from gpt2_edge.decode.request import Limits
from gpt2_edge.decode.rows_protocol import Floats
from gpt2_edge.decode.window import slid
from gpt2_edge.sampling import Chooser

VOCAB = 7


def model(ids: Sequence[int]) -> Floats:
    """Logits [vocab] after `ids`; those of the last three tokens, so that texts repeat."""
    seed = zlib.crc32(bytes(ids[-3:]))
    return np.random.default_rng(seed).normal(0, 2, VOCAB).astype(np.float32)


class ScriptedRows:
    """Rows of `model`; every rule that real rows have is asserted."""

    def __init__(self, rows: int, capacity: int) -> None:
        self.capacity = capacity
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        self.runs = self.fed = 0
        self._buffer = np.zeros((rows, VOCAB), np.float32)

    def step(self, rows: Sequence[int], tokens: Sequence[Sequence[int]], keep: int = 1) -> Floats:
        assert len(set(rows)) == len(rows) == len(tokens)
        assert len(rows) == 1 or all(len(fed) == 1 for fed in tokens)
        for row, fed in zip(rows, tokens, strict=True):
            assert 0 < len(fed) <= self.capacity - len(self.ids[row])
        self.runs += 1
        self.fed += sum(map(len, tokens))
        found = []
        for row, fed in zip(rows, tokens, strict=True):
            for token in fed:
                assert 0 <= token < VOCAB
                self.ids[row].append(token)
            length = len(self.ids[row])
            kept = range(length - keep, length) if keep else range(length - len(fed), length)
            found.append([model(self.ids[row][: position + 1]) for position in kept])
        logits = np.array(found, np.float32)
        if logits.shape[1] == 1:  # single tokens' logits are overwritten by the next step
            buffer = self._buffer[: len(rows)]
            buffer[:] = logits[:, 0]
            return buffer[:, None]
        return logits

    def span(self, rows: Sequence[int]) -> int:
        return max(rows) - min(rows) + 1

    def read(self, row: int, tokens: Sequence[int]) -> tuple[int, Floats | None]:
        count = min(5, len(tokens))
        logits = self.step([row], [tokens[:count]])[0, -1]
        return count, logits if count == len(tokens) else None

    def trim(self, row: int, length: int) -> None:
        assert length >= 0
        del self.ids[row][length:]

    def copy(self, source: int, target: int) -> None:
        self.ids[target] = list(self.ids[source])


def plain(
    prompt: Sequence[int],
    limits: Limits,
    choose: Chooser,
    capacity: int,
    process: Callable[[Sequence[int], Floats], Floats] = lambda ids, logits: logits,
) -> tuple[list[int], str]:
    """The new tokens of the loop without cache, batches and drafts, and why it ended."""
    window, new = list(prompt), []
    while True:
        new.append(choose(process([*prompt, *new], model(window).copy()), len(new)))
        if new[-1] in limits.eos_ids:
            return new, "eos"
        if len(new) == limits.max_new_tokens:
            return new, "length"
        if len(window) == capacity:
            if not limits.slide:
                return new, "length"
            window = slid(window, limits.keep)
        window.append(new[-1])


def plain_beams(request: BeamTexts, capacity: int) -> None:
    """Run a fresh beam search to its end without cache, rows and neighbours."""
    texts: list[list[int]] = [[] for _ in range(request.width)]
    while not request.over:
        full = len(request.prompt) + len(texts[0]) == capacity
        logits = [model([*request.prompt, *text]) for text in texts]
        parents = request.accept(np.stack(logits if request.started else logits[:1]), full)
        if parents:
            tokens = request.next_tokens()
            texts = [[*texts[parent], token] for parent, token in zip(parents, tokens, strict=True)]
