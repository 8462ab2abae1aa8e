"""The logits that predict each token of a sequence, however much of it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from gpt2_edge.decode.rows_protocol import common_prefix
from gpt2_edge.graph.prefill import TOKEN_GROUP
from gpt2_edge.graph.session import FedSequence
from gpt2_edge.sampling import Logits

# Positions whose logits exist at one time: 26 MB with GPT-2's vocabulary. No more than 128 rows,
# which ONNX Runtime's kernels split into tiles of 128, so that none is alone in a tile.
_CHUNK = 128


def predictions(sequence: FedSequence, ids: list[int], start: int) -> Iterator[tuple[int, Logits]]:
    """Each of `ids[start:]` with the logits [vocab] that predict it, valid until the next one.

    What `sequence` holds of their beginning is not fed again. The logits are the same to the bit
    whatever that was and whatever `start` is: as in `FedSequence.prefill`, a chunk starts at a
    multiple of TOKEN_GROUP and is no lone row behind others. Nor is what is kept of it, since the
    head runs on the rows that are kept.
    """
    fed, first = ids[:-1], start - 1
    alike = common_prefix(sequence.ids, fed)
    again = _group_start(min(alike, first), len(fed))
    sequence.trim(again)
    while sequence.length < len(fed):
        begin = sequence.length
        end = min(begin + _CHUNK, len(fed))
        if len(fed) - end == 1:  # which would be alone in the next chunk
            end -= TOKEN_GROUP
        kept_from = max(begin, _group_start(first, end)) if first < end else end - 1
        logits = sequence.feed(fed[begin:end], keep=end - kept_from)
        for position in range(max(first, kept_from), end):
            yield ids[position + 1], logits[position - kept_from]


def _group_start(position: int, end: int) -> int:
    """The last multiple of TOKEN_GROUP up to `position` that is no lone row before `end`."""
    start = position // TOKEN_GROUP * TOKEN_GROUP
    return max(0, start - TOKEN_GROUP) if end - start == 1 else start
