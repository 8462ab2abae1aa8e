"""How a prompt is cut into runs of the graph, so that its logits do not depend on the cut.

Kernels take the tokens of a run in small groups, and a remainder or a lone token by other
instructions; in quantized graphs the difference in the last bit grows to a rounding step. So a part
starts at a multiple of TOKEN_GROUP, and no token is alone behind others or behind a tile: where one
would be, tokens before it are fed again, or before the others. spec/prefill.json has examples.
"""

from __future__ import annotations

# Attention's scores take heads x chunk x context floats, and a caller can stop between two parts.
# Speed is flat from about 100 tokens on.
PREFILL_CHUNK = 256
TOKEN_GROUP = 16
TOKEN_TILE = 128


def next_part(start: int, end: int, chunk: int = PREFILL_CHUNK) -> tuple[int, int]:
    """The next run, (first token, end), on the way from `start` to `end` tokens in the cache.

    It takes at most `chunk` new tokens. A part that begins before `start` feeds tokens again: the
    cache is trimmed to its beginning first.
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; it must be at least 1")
    stop = min(start + chunk, end)
    begin = start - start % TOKEN_GROUP
    if stop - begin == 1 and start:
        begin -= TOKEN_GROUP
    if stop - begin > 1 and (stop - begin) % TOKEN_TILE == 1:
        stop -= 1 + TOKEN_GROUP
    return begin, stop
