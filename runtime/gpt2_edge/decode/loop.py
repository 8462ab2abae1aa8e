"""The decoder: the only loop. It gives requests rows of a cache, and all of them a step at a time.

One text, many, beams, drafts and prompts that begin alike are the same here: requests over rows.
Released rows keep their tokens, so a prompt that begins like an earlier one is not read again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from gpt2_edge.decode.request import Request
from gpt2_edge.decode.rows_protocol import Floats, Rows, common_prefix
from gpt2_edge.decode.window import slid
from gpt2_edge.errors import GenerationError

T = TypeVar("T")


class Decoder:
    """Requests over the rows of one cache.

    Threads may share it: they submit, and whoever calls `step` steps all requests, one at a time.
    Neither submitting nor cancelling waits for a step that is under way.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        # Rows that no request has; the one that was released first is the first to be taken.
        self._idle = list(range(len(rows.ids)))
        self._waiting: deque[Request] = deque()
        self._active: list[Request] = []
        self._cancelled: deque[Request] = deque()  # their rows are still to be freed
        self._lock = threading.Lock()  # of steps, and of freeing rows between them
        self._stepping: int | None = None  # the thread that is in a step

    @property
    def active(self) -> int:
        """Requests that have rows."""
        return len(self._active)

    @property
    def idle(self) -> list[int]:
        """Rows that no request has."""
        return list(self._idle)

    def submit(self, request: Request) -> None:
        """Let `request` take part from the next step on, as soon as there are rows for it."""
        if request.width > len(self._rows.ids):
            raise ValueError(f"{request.width} rows are wanted of {len(self._rows.ids)}")
        self._waiting.append(request)

    def cancel(self, request: Request, reason: str = "cancelled") -> None:
        """End `request` now, unless it has ended; a step that is under way frees its rows."""
        request.end(reason)
        self._cancelled.append(request)
        self._free_cancelled()

    def step(self) -> None:
        """A step of every request: a part of its prompt, or its next token.

        An exception of a request's own making (its processors, its callbacks) becomes its `error`
        and ends it alone; one of the graph passes through and ends all. GenerationError where such
        a callback asks for a step itself.
        """
        if self._stepping == threading.get_ident():
            raise GenerationError(
                "a function that a generation calls cannot write with the same cache; give it "
                "another one"
            )
        with self._lock:
            self._stepping = threading.get_ident()
            try:
                self._admit()
                self._step()
            finally:
                self._stepping = None
        self._free_cancelled()

    def _step(self) -> None:
        together: list[Request] = []
        for request in list(self._active):
            reason = self._guarded(request, request.interruption, None)
            if request.over:
                continue
            if reason is not None:
                self.cancel(request, reason)
            elif request.started and len(request.pending) == 1:
                if not self._drafted(request):
                    together.append(request)
            else:
                self._read(request)
        together = [request for request in together if not request.over]
        if together:
            self._step_together(together)

    def _free_cancelled(self) -> None:
        """Free the rows of cancelled requests between two steps: whoever ends a step does it."""
        while self._cancelled and self._lock.acquire(blocking=False):
            try:
                while self._cancelled:
                    self._release(self._cancelled.popleft())
            finally:
                self._lock.release()

    def _admit(self) -> None:
        """Give rows to waiting requests, in their order."""
        while self._waiting:
            request = self._waiting[0]
            if request.over:  # cancelled while it waited
                self._waiting.popleft()
                continue
            if len(self._idle) < request.width:
                return
            row, common, source = self._best_row(request.prompt)
            if self._being_read(request.prompt, common):
                return  # its beginning will be in the cache soon
            self._waiting.popleft()
            self._idle.remove(row)
            if source is not None:
                self._rows.copy(source, row)
            self._rows.trim(row, common)
            request.rows = [row, *self._idle[: request.width - 1]]
            del self._idle[: request.width - 1]
            request.cached_tokens, request.pending = common, request.prompt[common:]
            self._active.append(request)

    def _best_row(self, prompt: Sequence[int]) -> tuple[int, int, int | None]:
        """An idle row for `prompt`, how many of its tokens are in the cache already, and the row
        that those have to be copied from, if it is not the same.
        """
        room = len(prompt) - 1  # the last token is fed in any case: its logits are wanted
        common = [min(common_prefix(ids, prompt), room) for ids in self._rows.ids]
        longest = max(range(len(common)), key=lambda row: common[row])
        near = self._nearest()
        idle = max(near, key=lambda row: common[row])  # the first of the longest
        if common[longest] > common[idle]:
            return near[0], common[longest], longest
        return idle, common[idle], None

    def _nearest(self) -> list[int]:
        """The idle rows with which a step of all rows in use computes the fewest."""
        busy = [row for request in self._active for row in request.rows]
        spans = {row: self._rows.span([*busy, row]) for row in self._idle}
        least = min(spans.values())
        return [row for row in self._idle if spans[row] == least]

    def _being_read(self, prompt: Sequence[int], common: int) -> bool:
        """Whether a request is reading more of the beginning of `prompt` than rows hold."""
        reading = (request for request in self._active if not request.started)
        return any(common_prefix(other.prompt, prompt[:-1]) > common for other in reading)

    def _read(self, request: Request) -> None:
        """Feed the next part of what is pending; behind all of it comes the next token."""
        started = time.perf_counter()
        count, logits = self._rows.read(request.rows[0], request.pending)
        request.pending = request.pending[count:]
        first = not request.started
        if logits is not None:
            self._accept(request, logits[None])
        _count(request, time.perf_counter() - started, first)

    def _drafted(self, request: Request) -> bool:
        """If the request has a draft, feed it behind the pending token and keep what agrees."""
        started = time.perf_counter()
        row = request.rows[0]
        length = len(self._rows.ids[row])
        room = self._rows.capacity - length - 1
        nothing: list[int] = []
        draft = self._guarded(request, lambda: request.draft(room), nothing)
        if not draft or request.over:
            return request.over
        tokens = [*request.pending, *draft]
        logits = self._rows.step([row], [tokens], keep=len(tokens))[0]
        # From here on the row is as the text is: behind a token that differs nothing counts.
        agreed = 0
        for position in range(len(tokens)):
            self._accept(request, logits[position : position + 1], length + position + 1)
            if request.over or position == len(draft) or request.pending != [draft[position]]:
                break
            agreed += 1
        request.learn(len(draft), agreed)
        if len(request.pending) == 1 or request.over:
            self._rows.trim(row, length + 1 + agreed)
        _count(request, time.perf_counter() - started)
        return True

    def _step_together(self, requests: list[Request]) -> None:
        """Feed one token to every row of `requests`."""
        started = time.perf_counter()
        rows = [row for request in requests for row in request.rows]
        tokens = [[token] for request in requests for token in request.next_tokens()]
        logits = self._rows.step(rows, tokens)[:, 0]
        taken = 0
        for request in requests:
            width = request.width
            self._accept(request, logits[taken : taken + width])
            taken += width
        seconds = time.perf_counter() - started
        for request in requests:
            _count(request, seconds)

    def _accept(self, request: Request, logits: Floats, length: int | None = None) -> None:
        """Let the texts of `request` take their next tokens; `length` are in its first row."""
        row = request.rows[0]
        full = (len(self._rows.ids[row]) if length is None else length) == self._rows.capacity
        nothing: list[int] = []
        parents = self._guarded(request, lambda: request.accept(logits, full), nothing)
        if request.over:
            self._release(request)
        elif request.width > 1:
            self._follow(request, parents)
        elif full:
            ids = self._rows.ids[row]
            window = slid(ids, request.limits.keep)
            stays = common_prefix(ids, window)
            self._rows.trim(row, stays)
            request.pending = [*window[stays:], *request.pending]

    def _follow(self, request: Request, parents: Sequence[int]) -> None:
        """Move rows, so that text number n has the row of what it continues, parents[n].

        The first text that continues another takes over its row; the others copy it into rows
        whose texts nobody continues.
        """
        rows = request.rows
        heirs: dict[int, int] = {}
        for text, parent in enumerate(parents):
            heirs.setdefault(parent, text)
        free = [rows[text] for text in range(request.width) if text not in heirs]
        moved = []
        for text, parent in enumerate(parents):
            if heirs[parent] == text:
                moved.append(rows[parent])
            else:
                moved.append(free.pop())
                self._rows.copy(rows[parent], moved[-1])
        request.rows = moved

    def _guarded(self, request: Request, call: Callable[[], T], otherwise: T) -> T:
        """What `call` returns; an exception becomes the error of `request` and ends it alone."""
        try:
            return call()
        except Exception as error:
            if isinstance(error, StopIteration):  # it would end an iterator, as if all were well
                error = GenerationError("a function that a generation calls raised StopIteration")
            request.error = error
            self._release(request)
            return otherwise

    def _release(self, request: Request) -> None:
        """Give the rows of `request` back; what they hold stays until they are taken."""
        if request in self._active:
            self._active.remove(request)
        elif request in self._waiting:  # or it would stay, with its prompt, until its turn comes
            self._waiting.remove(request)
        self._idle.extend(request.rows)
        request.rows = []


def _count(request: Request, seconds: float, first: bool = False) -> None:
    """Add a step's time: of the prompt until the first token is there, then of decoding."""
    if first:
        request.prompt_seconds += seconds
    else:
        request.decode_seconds += seconds
