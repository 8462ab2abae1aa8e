"""Prompts with their settings, run together to their ends."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gpt2_edge.closing import ClosingItself
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
from gpt2_edge.untrusted import shown
from gpt2_edge.values import whole_number

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

    def requests(self) -> list[tuple[SingleText | BeamTexts, int | None]]:
        """New requests for its texts, each with the seed that it draws with.

        Raises GenerationError for settings that exclude each other.
        """
        if self.config.num_beams > 1:
            return [(self.maker.beams(), None)]
        return [(self.maker.single(seed), seed) for seed in self.maker.seeds()]


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


class Batch(ClosingItself, Iterator[tuple[int, TextEvent]]):
    """What the steps of several jobs add to their texts, each with its job's number; `results`.

    Of beams, and of more than one text of a prompt, there is nothing to tell before the end.
    Closing it (as a context manager, or by dropping it) ends all of them. failed: the number of the
    job whose own functions or settings raised what ended all, None where none did.
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
        self.failed: int | None = None
        self._unread: deque[tuple[int, TextEvent]] = deque()
        self._decoder = decoder
        if not jobs:
            return
        for number, job in enumerate(jobs):
            self._running += [_Running(number, *request) for request in job.requests()]
        self._decoder = decoder or new_decoder(session, jobs)
        for running in self._running:
            self._decoder.submit(running.request)

    def __next__(self) -> tuple[int, TextEvent]:
        while True:
            # In this order: other threads may take steps of these requests, too.
            decoder, over = self._decoder, all(running.request.over for running in self._running)
            self._collect()
            if self._unread:
                return self._unread.popleft()
            try:
                for running in self._running:
                    if running.request.error is not None:
                        self.failed = running.job
                        raise running.request.error
                if decoder is None or over:
                    raise StopIteration
                decoder.step()
            except BaseException:  # the end, an error or Ctrl-C: nothing comes after it
                self.close()
                raise

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

    def result(self, number: int) -> GenerationResult | None:
        """The result of a job, as soon as its texts have ended; None before.

        Args:
            number: the job's, from 0.
        """
        own = [running for running in self._running if running.job == number]
        if whole_number(number) is None or not own:
            raise GenerationError(f"number is {shown(number)}; there are {len(self._jobs)} prompts")
        if not all(running.request.over for running in own):
            return None
        self._collect()  # what other threads' steps have told
        job, texts = self._jobs[number], list[GenerationResult]()
        for running in own:
            request = running.request
            if isinstance(request, BeamTexts):
                texts += beam_results(request, job.config, self._session, self._tokenizer)
            else:
                texts.append(single_result(request, running.events, self._session, running.seed))
        return dataclasses.replace(texts[0], sequences=tuple(texts) if len(texts) > 1 else ())

    @property
    def results(self) -> list[GenerationResult]:
        """The result of each job; GenerationError before the end."""
        found = [self.result(number) for number in range(len(self._jobs))]
        if any(result is None for result in found):
            raise GenerationError("the batch has not ended; read all of it, or close it")
        return [result for result in found if result is not None]
