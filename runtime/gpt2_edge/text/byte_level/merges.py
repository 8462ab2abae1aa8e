"""Byte-pair encoding of one word (Sennrich et al. 2016), in token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True)
class Merges:
    """Which pairs of ids become which id, the lowest rank first.

    of_pair: rank << 32 | merged id, by left id << 32 | right id.
    """

    of_pair: Mapping[int, int]

    def apply(self, symbols: Sequence[int]) -> list[int]:
        """`symbols` with every pair merged that can be; of pairs of one rank the leftmost first.

        What was merged into the symbol on its left is -1. Takes n log n for n symbols, since a
        word of a stranger's text may have a million.
        """
        symbol, count = list(symbols), len(symbols)
        after, before = list(range(1, count + 1)), list(range(-1, count - 1))
        of_pair = self.of_pair
        queue = [
            (merge >> 32, place, merge)
            for place in range(count - 1)
            if (merge := of_pair.get(symbol[place] << 32 | symbol[place + 1], -1)) >= 0
        ]
        heapify(queue)
        while queue:
            _, place, merge = heappop(queue)
            right = after[place]
            # A pair that has changed since it was queued was queued anew, if it merges.
            if symbol[place] < 0 or right >= count:
                continue
            if of_pair.get(symbol[place] << 32 | symbol[right]) != merge:
                continue
            symbol[place], symbol[right] = merge & 0xFFFFFFFF, -1
            behind = after[place] = after[right]
            if behind < count:
                before[behind] = place
            for left in (before[place], place):
                if left >= 0 and after[left] < count:
                    merge = of_pair.get(symbol[left] << 32 | symbol[after[left]], -1)
                    if merge >= 0:
                        heappush(queue, (merge >> 32, left, merge))
        return symbol
