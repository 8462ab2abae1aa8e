"""Fill in spec/decoding.json: whole texts of a scripted model, for every runtime's tests.

python spec/make_decoding.py

The loop is written out once more here, plainly: no cache, no streams, everything from the whole
text at every token. What is greedy is never decided by rounding: the best two logits are equal
numbers, or far apart.
"""

from __future__ import annotations

import codecs
import json
import math
from pathlib import Path
from typing import Any

import make_processors
import make_sampling

FILE = Path(__file__).with_name("decoding.json")
# Of the vocabulary in the file; the end of a text is no text.
BYTES = [b"a", b"b", b" c", b"d", b".", b"\xc3", b"\xa9", b" f", b"g", b"\n", b"e", b""]
EOS = 11
FAR = 1e-3


def model(window: list[int]) -> list[float]:
    """Logits of all tokens behind the tokens in the window."""
    state = sum((place + 1) * (token + 1) for place, token in enumerate(window))
    return [((state * (2 * t + 3) + 5 * t * t) % 19) / 4 for t in range(len(BYTES))]


def slid(window: list[int], keep: int) -> list[int]:
    """A full window without the older half of what is behind its first `keep` tokens."""
    keep = min(keep, len(window) - 1)
    behind = window[keep:]
    return window[:keep] + behind[(len(behind) + 1) // 2 :]


def fitted(prompt: list[int], capacity: int, keep: int) -> list[int]:
    """A prompt as the context takes it: the first `keep` tokens and the last that have room."""
    keep = min(keep, capacity - 1)
    over = max(len(prompt) - capacity, 0)
    return prompt[:keep] + prompt[keep + over :] if over else prompt


def log_probability(logits: list[float], token: int) -> float:
    return logits[token] - math.log(math.fsum(math.exp(x) for x in logits))


def processed(
    text: list[int], prompt: int, logits: list[float], settings: dict[str, Any], eos: list[int]
) -> list[float]:
    """What the settings make of the logits; in transformers' order, logit_bias beside its kin."""
    rules: list[tuple[str, Any]] = [
        ("sequence_bias", settings.get("sequence_bias")),
        ("sequence_bias", [([i], bias) for i, bias in settings.get("logit_bias", [])]),
        ("repetition_penalty", settings.get("repetition_penalty")),
        ("presence_penalty", settings.get("presence_penalty")),
        ("frequency_penalty", settings.get("frequency_penalty")),
        ("no_repeat_ngram_size", settings.get("no_repeat_ngram_size")),
        # A word that is a lone end of a text may come all the same.
        (
            "bad_words_ids",
            [w for w in settings.get("bad_words_ids", []) if w not in [[e] for e in eos]],
        ),
        ("min_new_tokens", (settings.get("min_new_tokens", 0), eos)),
        ("suppress_tokens", settings.get("suppress_tokens")),
        ("begin_suppress_tokens", settings.get("begin_suppress_tokens")),
    ]
    for name, value in rules:
        if value:
            logits = getattr(make_processors, name)(text, prompt, logits, value)
    return logits


def chosen(logits: list[float], settings: dict[str, Any], number: int) -> int:
    if "seed" in settings and settings.get("do_sample", True) and settings.get("temperature") != 0:
        asked = {k: v for k, v in settings.items() if k in make_sampling.DEFAULTS}
        return make_sampling.token(logits, asked, make_sampling.uniform(settings["seed"], number))
    best = max(logits)
    assert all(x == best or x < best - FAR for x in logits), "greedy, decided by rounding"
    return logits.index(best)


class Shown:
    """Text as it is let out, every time from all bytes so far."""

    def __init__(self, settings: dict[str, Any]) -> None:
        stops = settings.get("stop_strings", [])
        self.stops: list[str] = [stops] if isinstance(stops, str) else stops
        self.include = settings.get("include_stop_str", False)
        self.bytes, self.shown, self.stopped = b"", "", False

    def more(self, token: bytes, last: bool = False) -> str:
        """What token lets out; last: and the rest, as no more comes."""
        self.bytes += token
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self.bytes, final=last)
        ends = [(text.find(s), len(s)) for s in self.stops if s in text]
        if ends:
            start, length = min(ends)
            text, self.stopped = text[: start + length * self.include], True
        elif not last:
            held = (n for s in self.stops for n in range(1, len(s)) if text.endswith(s[:n]))
            text = text[: len(text) - max(held, default=0)]
        piece, self.shown = text[len(self.shown) :], text
        return piece


def run(prompt: list[int], capacity: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The text, token by token."""
    slides, keep = settings.get("context_overflow") == "slide", settings.get("keep", 0)
    window = fitted(prompt, capacity, keep) if slides else prompt
    assert len(window) <= capacity
    text, begin = list(window), len(window)
    eos = [] if settings.get("ignore_eos") else settings.get("eos_token_id", EOS)
    eos = [eos] if isinstance(eos, int) else eos
    shown = Shown(settings)
    pieces: list[str] = []
    logprobs: list[float] = []
    top: list[Any] = []
    reason = None
    while reason is None:
        logits = model(window)
        token = chosen(processed(text, begin, logits, settings, eos), settings, len(pieces))
        text.append(token)
        logprobs.append(log_probability(logits, token))
        order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
        best = order[: settings.get("top_logprobs", 0)]
        top.append([[i, round(log_probability(logits, i), 6)] for i in best])
        piece = shown.more(BYTES[token])
        written, full = len(pieces) + 1, len(window) == capacity
        if shown.stopped:
            reason = "stop"
        elif token in eos:
            reason = "eos"
        elif written == settings.get("max_new_tokens", 128) or (full and not slides):
            reason = "length"
        if reason is not None and not shown.stopped:
            piece += shown.more(b"", last=True)
            reason = "stop" if shown.stopped else reason
        pieces.append(piece)
        window = [*(slid(window, keep) if full and slides else window), token]
    expect: dict[str, Any] = {"ids": text[begin:], "pieces": pieces, "finish_reason": reason}
    if settings.get("logprobs"):
        expect["logprobs"] = [round(x, 6) for x in logprobs]
    if settings.get("top_logprobs"):
        expect["top_logprobs"] = top
    return expect


def main() -> None:
    """Fill in what is expected of the examples that the file has."""
    spec: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    for case in spec["cases"]:
        case["expect"] = run(case["prompt"], case["capacity"], case["settings"])
    for case in spec["windows"]:
        case["expect"] = slid(case["ids"], case["keep"])
    for case in spec["prompts"]:
        case["expect"] = fitted(case["ids"], case["capacity"], case["keep"])
    parts = []
    for name, value in spec.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and isinstance(value[0], dict):
            lines = ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value)
            text = f"[\n{lines}\n ]"
        parts.append(f' "{name}": {text}')
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
