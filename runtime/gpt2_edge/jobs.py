"""Prompts with their settings, run together to their ends."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gpt2_edge.closing import Closing
from gpt2_edge.config import EffectiveSettings
from gpt2_edge.decode.beam_texts import BeamTexts
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import SingleText
from gpt2_edge.decode.rows import make_rows
from gpt2_edge.errors import GenerationError
from gpt2_edge.graph.session import Session
from gpt2_edge.records import beam_results, single_result
from gpt2_edge.requests import RequestMaker
from gpt2_edge.result import GenerationResult, TextEvent
from gpt2_edge.text.tokenizer import Tokenizer

# Rows that take a step together: with more, a step takes as much longer as it has rows, and the
# caches of long texts need memory.
_MOST_ROWS = 16


@dataclass(frozen=True)
class Job:
    """A checked prompt, its resolved settings, and what makes its requests."""

    ids: list[int]
    config: EffectiveSettings
    maker: RequestMaker

    @property
    def rows(self) -> int:
        """How many rows it can use at the same time."""
        return max(self.config.num_beams, self.config.num_return_sequences)


def new_decoder(session: Session, jobs: Sequence[Job]) -> Decoder:
    """A decoder with rows for `jobs`, of which the longest fits."""
    rows = min(sum(job.rows for job in jobs), _MOST_ROWS)
    rows = max([rows, *(job.config.num_beams for job in jobs)])
    capacity = max(len(job.ids) + job.config.max_new_tokens - 1 for job in jobs)
    return Decoder(make_rows(session, rows, capacity))


@dataclass
class _Running:
    """One request of a job, the seed that it draws with, and what it has told."""

    job: int
    request: SingleText | BeamTexts
    seed: int | None
    events: list[TextEvent] = field(default_factory=list)


class Batch(Closing, Iterator[tuple[int, TextEvent]]):
    """What the steps of several jobs add to their texts, each with its job's number; `results`.

    Of beams, and of more than one text of a prompt, there is nothing to tell before the end.
    Closing it (as a context manager) ends all of them.
    """

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer | None,
        jobs: Sequence[Job],
        decoder: Decoder | None = None,
    ) -> None:
        self._session, self._tokenizer, self._jobs = session, tokenizer, jobs
        self._running: list[_Running] = []
        self._unread: deque[tuple[int, TextEvent]] = deque()
        self._decoder = decoder
        if not jobs:
            return
        for number, job in enumerate(jobs):
            if job.config.num_beams > 1:
                self._running.append(_Running(number, job.maker.beams(), None))
            else:
                self._running += [
                    _Running(number, job.maker.single(seed), seed) for seed in job.maker.seeds()
                ]
        self._decoder = decoder or new_decoder(session, jobs)
        for running in self._running:
            self._decoder.submit(running.request)

    def __next__(self) -> tuple[int, TextEvent]:
        while True:
            # In this order: other threads may take steps of these requests, too.
            decoder, over = self._decoder, all(running.request.over for running in self._running)
            self._collect()
            if self._unread:
                break
            if decoder is None or over:
                raise StopIteration
            try:
                decoder.step()
                failed = next((r.request.error for r in self._running if r.request.error), None)
                if failed is not None:
                    raise failed
            except BaseException:
                self.close()
                raise
        return self._unread.popleft()

    def close(self) -> None:
        """End what has not ended, as "cancelled", and free the rows."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            for running in self._running:
                decoder.cancel(running.request)
            self._collect()

    def _collect(self) -> None:
        """Take what the requests have to tell."""
        for running in self._running:
            told = running.request.events
            while told:
                running.events.append(told.popleft())
                if self._jobs[running.job].rows == 1:
                    self._unread.append((running.job, running.events[-1]))

    @property
    def results(self) -> list[GenerationResult]:
        """The result of each job; GenerationError before the end."""
        if not all(running.request.over for running in self._running):
            raise GenerationError("the batch has not ended; read all of it, or close it")
        found: list[list[GenerationResult]] = [[] for _ in self._jobs]
        for running in self._running:
            request, job = running.request, self._jobs[running.job]
            if isinstance(request, BeamTexts):
                found[running.job] += beam_results(
                    request, job.config, self._session, self._tokenizer
                )
            else:
                found[running.job].append(
                    single_result(request, running.events, self._session, running.seed)
                )
        return [
            dataclasses.replace(texts[0], sequences=tuple(texts) if len(texts) > 1 else ())
            for texts in found
        ]
