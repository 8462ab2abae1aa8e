"""Does a provider compute a graph right? Tried on loading, for providers other than the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpt2_edge.files.package_folder import Package

Floats = npt.NDArray[np.float32]

# Tokens that are tried, and how far logits may be apart, in standard deviations: rounded
# activations make 0.15 to 0.3 of rounding noise, and what was wrong was 0.6 to 3 apart.
_TRIED, _TOLERATED, _WRONG = 40, 0.25, 0.5


class Fed(Protocol):
    """A sequence that is fed, as of `Session.start`."""

    def feed(self, ids: Sequence[int], keep: int = 1) -> Floats:
        """Feed `ids` in one step; logits [keep, vocab] of the last `keep` positions (0: of all)."""
        ...


@dataclass(frozen=True)
class Trial:
    """What a trial found.

    several_right, single_right: whether logits of many tokens in one step, and of one token a step,
    are right. last_row_only: the graph gives the logits of one position, whatever is asked for.
    """

    several_right: bool
    single_right: bool
    last_row_only: bool


def try_steps(
    package: Package,
    start: Callable[[int], Fed],
    on_cpu: Callable[[], Callable[[int], Fed]],
) -> Trial:
    """Feed the same tokens in one step and one by one; where the logits differ, ask the CPU.

    start: an empty sequence with room for so many tokens. on_cpu: loads the graph on the CPU and
    gives its `start`; called only where it must. The WebGPU provider of 1.27 on a software GPU
    attends wrongly from five tokens on, that of onnxruntime-web 1.30 from 32; OpenVINO's of 1.24
    takes the default of logits_to_keep for a constant.
    """
    architecture = package.manifest.architecture
    ids = [i % architecture.vocab_size for i in range(min(_TRIED, architecture.context_length))]
    # A static chunk has no logits of its own.
    keep = 0 if package.manifest.graph.static is None else 1
    several = start(len(ids)).feed(ids, keep).copy()
    single = _one_by_one(start(len(ids)), ids)
    last_row_only = keep == 0 and len(several) < len(ids)
    if _apart(several, single, single) <= _TOLERATED:  # NaN is not
        return Trial(several_right=True, single_right=True, last_row_only=last_row_only)
    expected = _one_by_one(on_cpu()(len(ids)), ids)
    return Trial(
        several_right=_apart(several, expected, expected) <= _WRONG,
        single_right=_apart(single, expected, expected) <= _WRONG,
        last_row_only=last_row_only,
    )


def _one_by_one(sequence: Fed, ids: Sequence[int]) -> Floats:
    """Logits [len(ids), vocab]."""
    return np.concatenate([sequence.feed([token_id]).copy() for token_id in ids])


def _apart(rows: Floats, others: Floats, spread_of: Floats) -> float:
    """The largest difference at the last positions, in standard deviations of `spread_of`."""
    return float(np.abs(rows - others[-len(rows) :]).max() / spread_of.std())
