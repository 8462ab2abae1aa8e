"""The engine: one thread that takes the steps of all texts.

Requests join and leave the decoder between steps. After a step the event loop is woken once, for
all the calls that the step added something to.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import SingleText
from gpt2_edge_server.errors import busy, refused, shutting_down
from gpt2_edge_server.metrics import Metrics


class _PanicError(Exception):
    """What a library in Rust raises, which is no Exception."""


class Call:
    """The texts that one HTTP request asked for, as its handler reads them.

    `changed` is set when all have ended; where it streams, also when a step told something.
    """

    def __init__(
        self, engine: Engine, texts: Sequence[SingleText], streams: bool, places: Places | None
    ) -> None:
        self.texts, self.streams = list(texts), streams
        self.changed = asyncio.Event()
        self.submitted = time.perf_counter()
        self.started = False
        self._engine, self._places = engine, places
        self._ended = 0  # of its texts, when it was last asked

    @property
    def over(self) -> bool:
        """Whether all of its texts have ended."""
        return all(text.over for text in self.texts)

    @property
    def has_news(self) -> bool:
        """Whether there is something that its reader wants to know now."""
        return self.streams and any(text.events for text in self.texts)

    @property
    def waiting_texts(self) -> int:
        """How many of its texts have no row yet."""
        return sum(not text.over and not text.rows for text in self.texts)

    def has_ended_more(self) -> bool:
        """Whether texts have ended since the last time that it was asked."""
        ended = sum(text.over for text in self.texts)
        before, self._ended = self._ended, ended
        return ended > before

    def tell(self) -> None:
        """Wake its reader, and give back the places of texts that are over; on the event loop."""
        self.changed.set()
        if self._places is not None:
            self._places.keep(sum(not text.over for text in self.texts))

    def end(self, reason: str = "cancelled") -> None:
        """End what has not ended; its rows are free within a step."""
        self._engine.end(self, reason)

    async def finished(self) -> None:
        """Wait until all texts have ended; raises the first error of one."""
        while not self.over:
            self.changed.clear()
            if not self.over:
                await self.changed.wait()
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what ended one of the texts, if something did."""
        for text in self.texts:
            if text.error is not None:
                raise text.error


class Places:
    """Places in the queue that a request has taken; on the event loop."""

    def __init__(self, engine: Engine, count: int) -> None:
        self._engine, self._count = engine, 0
        self._set(count)

    def keep(self, count: int) -> None:
        """Give back those beyond `count`."""
        self._set(min(count, self._count))

    def _set(self, count: int) -> None:
        self._engine.taken += count - self._count
        self._count = count


class Engine:
    """A decoder of `rows` rows, its thread, and the places in its queue."""

    def __init__(self, decoder: Decoder, rows: int, max_queue: int, metrics: Metrics) -> None:
        self.rows, self.places = rows, rows + max_queue
        self._decoder, self._metrics = decoder, metrics
        self.taken = 0  # places: by texts that run, wait, or are prepared
        self._live: list[Call] = []
        self._wake = threading.Condition()
        self._ends = self._closing = self._cut = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="gpt2-edge engine", daemon=True)
        metrics.watch(self)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to take steps; `loop` is where calls are read."""
        self._loop = loop
        self._thread.start()
        # A process that never comes to `stop`: it must not end in the middle of a step.
        atexit.register(self.stop)

    def stop(self) -> None:
        """End all texts, and the thread behind its step."""
        atexit.unregister(self.stop)
        self.end_all("cancelled")
        with self._wake:
            self._ends = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        """Take no more texts."""
        self._closing = True

    @property
    def closing(self) -> bool:
        """Whether it takes no more texts."""
        return self._closing

    @property
    def running(self) -> int:
        """Texts that have rows."""
        return self._decoder.active

    @property
    def waiting(self) -> int:
        """Texts that have none yet."""
        return sum(call.waiting_texts for call in list(self._live))

    @contextmanager
    def reserved(self, count: int) -> Iterator[Places]:
        """Places for `count` texts while the block runs, or until `submit` has them and they end.

        Raises ApiError where there are none: 400 if there never are, 429 if there are later, 503
        where the server ends.
        """
        if self._closing:
            raise shutting_down()
        if count > self.places:
            raise refused(
                f"this asks for {count} texts; the server takes {self.places} at most: send fewer "
                "prompts at once, or lower n and best_of"
            )
        if self.taken + count > self.places:
            raise busy(f"all {self.places} places are taken; try again later")
        places = Places(self, count)
        try:
            yield places
        finally:
            places.keep(0)

    def submit(
        self, texts: Sequence[SingleText], streams: bool = False, places: Places | None = None
    ) -> Call:
        """Let `texts` take part from the next step on; on the event loop, within `reserved`.

        streams: their events are read as they come, not at the end. places: each is given back when
        its text is over. Raises ApiError (503) where `end_all` has cut the texts of a server that
        ends.
        """
        if self._cut and texts:
            raise shutting_down()
        call = Call(self, texts, streams, places)
        if places is not None:
            places.keep(len(texts))
        for text in texts:
            self._decoder.submit(text)
        with self._wake:
            self._live.append(call)
            self._wake.notify()
        return call

    def end(self, call: Call, reason: str) -> None:
        """See Call.end."""
        for text in call.texts:
            self._decoder.cancel(text, reason)
        call.changed.set()

    def end_all(self, reason: str) -> None:
        """End every text where it is; with "length", those that never began get a 503."""
        self._cut = self._cut or reason == "length"
        calls = list(self._live)
        texts = [text for call in calls for text in call.texts]
        for text in texts:  # all before the first row is free, which would let one begin
            if self._cut and not (text.over or text.started):
                text.error = shutting_down()
        for text in texts:
            self._decoder.cancel(text, reason)
        self._tell(calls)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._live or self._ends):
                    self._wake.wait()
                if self._ends:
                    return
                calls = list(self._live)
            self._end_late(calls)
            started = time.perf_counter()
            try:
                self._decoder.step()
            except BaseException as error:  # of the graph, which ends all; a library's panic
                self._fail(
                    calls, error if isinstance(error, Exception) else _PanicError(str(error))
                )
            ended = time.perf_counter()
            self._metrics.steps.observe(ended - started)
            for call in calls:
                if not call.started and any(text.started for text in call.texts):
                    call.started = True
                    self._metrics.first_token.observe(ended - call.submitted)
            more = [call for call in calls if call.has_ended_more() or call.has_news]
            over = [call for call in calls if call.over]
            if over:
                self._count(over)
                with self._wake:
                    self._live = [call for call in self._live if call not in over]
            self._tell([call for call in calls if call in more or call in over])

    def _end_late(self, calls: Sequence[Call]) -> None:
        """End texts whose time is over before they had a row: none of them is an empty text."""
        for text in (text for call in calls if call.waiting_texts for text in call.texts):
            if not (text.over or text.rows) and text.interruption() == "time":
                text.error = busy("no row became free in the time of a text; try again later")
                self._decoder.cancel(text)

    def _fail(self, calls: Sequence[Call], error: Exception) -> None:
        for text in (text for call in calls for text in call.texts):
            if not text.over:
                text.error = error
            self._decoder.cancel(text)

    def _count(self, calls: Sequence[Call]) -> None:
        for text in (text for call in calls for text in call.texts):
            self._metrics.cached.inc(text.cached_tokens)
            self._metrics.read.inc(len(text.prompt) - text.cached_tokens if text.started else 0)
            self._metrics.written.inc(len(text.new_ids))

    def _tell(self, calls: Sequence[Call]) -> None:
        """Wake the readers of `calls`: one wake-up of the loop for all of them."""
        if calls and self._loop is not None and not self._loop.is_closed():

            def wake() -> None:
                for call in calls:
                    call.tell()

            self._soon(wake)

    def _soon(self, function: Callable[[], object]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop was closed just now
            return
