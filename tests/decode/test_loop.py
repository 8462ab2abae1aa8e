"""Whatever shares the decoder, every text is the one of the plain loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from decode.scripted import VOCAB, ScriptedRows, plain, plain_beams
from gpt2_edge.decode.beam import EarlyStopping
from gpt2_edge.decode.beam_texts import BeamTexts
from gpt2_edge.decode.draft import Drafter, prompt_lookup
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.processors import no_repeat_ngram, repetition_penalty
from gpt2_edge.decode.request import Limits, Request, SingleText
from gpt2_edge.result import TextEvent as Event
from gpt2_edge.sampling import Chooser, candidates, draw, greedy

CAPACITY = 24


@dataclass(frozen=True)
class Wish:
    """A request as the tests make them."""

    prompt: tuple[int, ...]
    new_tokens: int
    eos: bool
    slide: bool
    keep: int
    seed: int | None
    penalty: bool
    drafts: str
    cancelled_after: int | None
    beams: int

    @property
    def limits(self) -> Limits:
        return Limits(self.new_tokens, (0,) if self.eos else (), None, self.slide, self.keep)

    @property
    def choose(self) -> Chooser:
        if self.seed is None:
            return lambda logits, number: greedy(logits)
        seed = self.seed

        def sample(logits: np.ndarray, number: int) -> int:  # type: ignore[type-arg]
            u = draw(seed, number)
            return candidates(logits, 1.0, VOCAB).at(u)

        return sample

    def request(self) -> SingleText | BeamTexts:
        processors = (repetition_penalty(1.3), no_repeat_ngram(4)) if self.penalty else ()
        if self.beams > 1:
            early: tuple[EarlyStopping, ...] = (False, True, "never")
            return BeamTexts(
                self.prompt,
                Limits(self.new_tokens, (0,) if self.eos else ()),
                self.beams,
                processors,
                length_penalty=(-1.0, 0.0, 1.0)[self.keep % 3],
                early_stopping=early[self.new_tokens % 3],
            )
        return SingleText(
            self.prompt,
            self.limits,
            self.choose,
            processors,
            drafter=drafter(self.drafts),
            draft_tokens=5,
        )

    def expected(self) -> tuple[list[int], str]:
        def process(ids, logits):  # type: ignore[no-untyped-def]
            if not self.penalty:
                return logits
            return no_repeat_ngram(4)(ids, repetition_penalty(1.3)(ids, logits))

        return plain(self.prompt, self.limits, self.choose, CAPACITY, process)


def drafter(name: str) -> Drafter | None:
    wrong: Drafter = lambda text, most: [(text[-1] + 1) % VOCAB] * most  # noqa: E731
    return {"none": None, "lookup": prompt_lookup(), "wrong": wrong}[name]


PROMPTS = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=CAPACITY).map(tuple)
WISHES = st.builds(
    Wish,
    # some begin alike
    prompt=st.one_of(PROMPTS, PROMPTS.map(lambda ids: (*((1, 2, 3) * 6), *ids)[:CAPACITY])),
    new_tokens=st.integers(1, 40),
    eos=st.booleans(),
    slide=st.booleans(),
    keep=st.integers(0, 4),
    seed=st.one_of(st.none(), st.integers(0, 2**64)),
    penalty=st.booleans(),
    drafts=st.sampled_from(["none", "lookup", "wrong"]),
    cancelled_after=st.one_of(st.none(), st.none(), st.integers(0, 10)),
    beams=st.sampled_from([1, 1, 1, 2, 3, 4]),
)
ROUND = st.lists(WISHES, min_size=1, max_size=5)


def run(decoder: Decoder, wishes: list[Wish]) -> list[tuple[SingleText | BeamTexts, list[Event]]]:
    """All wishes, some cancelled on the way; each request with its events."""
    requests = [wish.request() for wish in wishes]
    events: dict[Request, list[Event]] = {request: [] for request in requests}
    for request in requests:
        decoder.submit(request)
    steps = 0
    while any(r.finish_reason is None and r.error is None for r in requests):
        for wish, request in zip(wishes, requests, strict=True):
            if wish.cancelled_after == steps:
                decoder.cancel(request)
        decoder.step()
        for request in requests:
            events[request] += request.events
            request.events.clear()
        steps += 1
        assert steps < 1000
    return [(request, events[request]) for request in requests]


def check(wish: Wish, request: SingleText | BeamTexts, events: list[Event]) -> None:
    """What came of a wish is what comes of it alone."""
    if request.error is not None:
        raise request.error
    cancelled = request.finish_reason == "cancelled"
    if isinstance(request, BeamTexts):
        alone = wish.request()
        assert isinstance(alone, BeamTexts)
        plain_beams(alone, CAPACITY)
        found, expected_beams = (each.best(wish.beams) for each in (request, alone))
        if not cancelled:
            assert (found, request.finish_reason) == (expected_beams, alone.finish_reason)
        return
    ids = [token for event in events for token in event.ids]
    expected, reason = wish.expected()
    assert request.new_ids == ids
    if cancelled and wish.cancelled_after is not None:
        assert ids == expected[: len(ids)]
    else:
        assert (ids, request.finish_reason) == (expected, reason)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.lists(WISHES, min_size=1, max_size=5), min_size=1, max_size=2), st.integers(4, 7)
)
def test_every_text_is_the_one_that_it_is_alone(rounds: list[list[Wish]], rows: int) -> None:
    decoder = Decoder(ScriptedRows(rows, CAPACITY))
    for wishes in rounds:  # the second finds what the first left in the rows
        for wish, (request, events) in zip(wishes, run(decoder, wishes), strict=True):
            check(wish, request, events)
        assert decoder.active == 0
        assert sorted(decoder.idle) == list(range(rows))


@settings(max_examples=150, deadline=None)
@given(st.lists(WISHES, min_size=1, max_size=6), st.integers(1, 3))
def test_few_rows_change_no_text(wishes: list[Wish], rows: int) -> None:
    single = [wish for wish in wishes if wish.beams <= rows]
    decoder = Decoder(ScriptedRows(rows, CAPACITY))
    for wish, (request, events) in zip(single, run(decoder, single), strict=True):
        check(wish, request, events)
