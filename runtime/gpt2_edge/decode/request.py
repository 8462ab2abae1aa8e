"""A request: one prompt, what is asked of it, and the text so far.

`accept` is the only place that ends a text.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gpt2_edge.decode.draft import Drafter, Pace
from gpt2_edge.decode.processors import Logits, Processor
from gpt2_edge.errors import GenerationError
from gpt2_edge.result import TextEvent
from gpt2_edge.sampling import Chooser, largest, log_probabilities_of
from gpt2_edge.untrusted import shown

ShouldStop = Callable[[], bool]
# Whether a text (of prompt and new tokens) is at its end; pure in the tokens, as processors are.
Criterion = Callable[[Sequence[int]], bool]


class Writer(Protocol):
    """Turns tokens into text: `push` returns what became certain; `stopped` by a stop string."""

    @property
    def stopped(self) -> bool: ...

    def push(self, token_id: int) -> str: ...

    def finish(self) -> str: ...


@dataclass(frozen=True)
class Limits:
    """When a text ends: tokens, end-of-text ids, the clock (of time.perf_counter), the context.

    slide, keep: past a full context it goes on, see window.py.
    """

    max_new_tokens: int
    eos_ids: Collection[int] = ()
    deadline: float | None = None
    slide: bool = False
    keep: int = 0


class Request:
    """What the decoder needs of a request of any kind.

    width: how many rows of the cache it wants; rows: those that it has, one for each of its texts,
    in their order. pending: tokens of its first row that are not fed yet; a lone one behind a
    started text is a step that it can share with others. events: what steps added to the text,
    whoever took them; its reader takes them out.
    """

    width = 1

    def __init__(
        self,
        prompt: Sequence[int],
        limits: Limits,
        processors: Sequence[Processor] = (),
        criteria: Sequence[Criterion] = (),
        should_stop: ShouldStop | None = None,
    ) -> None:
        self.prompt = list(prompt)
        self.limits = limits
        self.rows: list[int] = []
        self.pending: list[int] = list(prompt)
        self.events: deque[TextEvent] = deque()
        # Held while a token is taken or the text ended: others may end it in the middle of a step.
        self._ending = threading.RLock()
        self.started = False  # has a first token
        self.finish_reason: str | None = None
        self.error: Exception | None = None
        self.cached_tokens = 0  # of the prompt, found in the cache
        self.prompt_seconds = self.decode_seconds = 0.0
        self._processors, self._criteria = tuple(processors), tuple(criteria)
        self._should_stop = should_stop

    @property
    def over(self) -> bool:
        """Whether it has ended, well or with an error."""
        return self.finish_reason is not None or self.error is not None

    def next_tokens(self) -> list[int]:
        """What each of its rows is fed in a step that it shares."""
        raise NotImplementedError

    def accept(self, logits: Logits, full: bool) -> list[int]:
        """Take the next token of each text, from logits [width, vocab].

        full: the cache has no room for another token. For each text that goes on, the number of the
        one that it continues.
        """
        raise NotImplementedError

    def end(self, reason: str) -> None:
        """End it here, with what there is, unless it has ended; from any thread."""
        with self._ending:
            self.finish_reason = self.finish_reason or reason

    def interruption(self) -> str | None:
        """Why it should end before its next step, if it should."""
        try:
            stop = self._should_stop is not None and _truth("should_stop", self._should_stop())
        except StopIteration as error:  # which would end an iterator, as if all were well
            raise GenerationError(
                "should_stop raised StopIteration; it must return whether to stop"
            ) from error
        if stop:
            return "cancelled"
        deadline = self.limits.deadline
        return "time" if deadline is not None and time.perf_counter() >= deadline else None

    def draft(self, room: int) -> list[int]:
        """Up to `room` guesses at what comes behind the pending token; empty for a plain step."""
        return []

    def learn(self, proposed: int, agreed: int) -> None:
        """Take in that the first `agreed` tokens of a draft of `proposed` are what was written."""

    def stopped(self, text: Sequence[int]) -> bool:
        """Whether a criterion says that `text` (of prompt and new tokens) is at its end."""
        # any() would turn a StopIteration of theirs into another error.
        for ends in self._criteria:  # noqa: SIM110
            if _truth("a stopping criterion", ends(list(text))):
                return True
        return False

    def processed(self, text: Sequence[int], logits: Logits) -> Logits:
        """What the processors make of `logits` [vocab], which stay as they are."""
        if not self._processors:
            return logits
        given, logits = logits, logits.copy()
        with np.errstate(over="ignore", divide="ignore"):  # told here
            for process in self._processors:
                logits = process(text, logits)
        peak = np.max(logits)
        if not peak < np.inf and np.max(given) < np.inf:  # not the model's doing
            raise GenerationError(
                "the settings of this generation make logits that are not numbers (the largest is "
                f"{peak}): take smaller biases or penalties"
            )
        if peak == -np.inf:
            raise GenerationError(
                "every token is forbidden here: the settings of this generation rule each other out"
            )
        return logits


def _truth(what: str, returned: object) -> bool:
    """What a caller's function returned as a bool; GenerationError for an array of several."""
    try:
        return bool(returned)
    except (TypeError, ValueError):
        raise GenerationError(
            f"{what} returned {shown(returned)}; it must return whether to stop"
        ) from None


class SingleText(Request):
    """One text, token by token, greedy or sampled."""

    def __init__(
        self,
        prompt: Sequence[int],
        limits: Limits,
        choose: Chooser,
        processors: Sequence[Processor] = (),
        criteria: Sequence[Criterion] = (),
        *,
        writer: Writer | None = None,
        drafter: Drafter | None = None,
        draft_tokens: int = 0,
        logprobs: bool = False,
        top_logprobs: int = 0,
        should_stop: ShouldStop | None = None,
    ) -> None:
        super().__init__(prompt, limits, processors, criteria, should_stop)
        self.ids = list(prompt)  # prompt and text
        self.drafted = self.agreed = 0
        self._choose, self._writer = choose, writer
        self._drafter, self._pace = drafter, Pace(draft_tokens)
        self.with_logprobs, self._alternatives = logprobs, top_logprobs

    @property
    def new_ids(self) -> list[int]:
        """The tokens of the text."""
        return self.ids[len(self.prompt) :]

    @property
    def writes_text(self) -> bool:
        """Whether its tokens are turned into text."""
        return self._writer is not None

    def next_tokens(self) -> list[int]:
        """See Request."""
        return self.pending

    def draft(self, room: int) -> list[int]:
        """See Request."""
        if self._drafter is None:
            return []
        left = self.limits.max_new_tokens - (len(self.ids) - len(self.prompt)) - 1
        most = min(self._pace.next(), left, room)
        return self._drafter(self.ids, most) if most > 0 else []

    def learn(self, proposed: int, agreed: int) -> None:
        """See Request."""
        self.drafted += proposed
        self.agreed += agreed
        self._pace.learn(proposed, agreed)

    def accept(self, logits: Logits, full: bool) -> list[int]:
        """See Request."""
        raw = logits[0]
        number = len(self.ids) - len(self.prompt)
        token = self._choose(self.processed(self.ids, raw), number)
        with self._ending:
            if self.over:
                return []
            self.started = True
            self.ids.append(token)
            self.pending = [token]
            text = self._writer.push(token) if self._writer is not None else ""
            reason = self._reason(token, number + 1, full)
            if reason is not None:
                rest, reason = self._rest(reason)
                text += rest
            self.events.append(self._event(token, raw, text))
            # Last: who sees it sees all events. A callback of its own may have ended it already.
            self.finish_reason = self.finish_reason or reason
        return [0]

    def end(self, reason: str) -> None:
        """See Request."""
        with self._ending:
            if self.over:
                return
            rest, reason = self._rest(reason)
            if rest:
                self.events.append(TextEvent(rest))
            self.finish_reason = reason

    def _event(self, token: int, logits: Logits, text: str) -> TextEvent:
        best = largest(logits, self._alternatives).tolist() if self._alternatives else []
        asked = [token, *best] if self.with_logprobs else best
        if not asked:
            return TextEvent(text, (token,))
        found = log_probabilities_of(logits, asked)  # of one softmax
        logprobs = tuple(found[: len(asked) - len(best)])
        if not best:
            return TextEvent(text, (token,), logprobs)
        alternatives = tuple(zip(best, found[len(logprobs) :], strict=True))
        return TextEvent(text, (token,), logprobs, (alternatives,))

    def _reason(self, token: int, written: int, full: bool) -> str | None:
        """Why the text ends behind `token`, the last of `written` ones; None if it goes on."""
        if self._writer is not None and self._writer.stopped:
            return "stop"
        if token in self.limits.eos_ids:
            return "eos"
        if self.stopped(self.ids):
            return "stop"
        over = written == self.limits.max_new_tokens or (full and not self.limits.slide)
        return "length" if over else None

    def _rest(self, reason: str) -> tuple[str, str]:
        """What the writer still holds back of a text that ended, and the reason behind that."""
        if self._writer is None or self._writer.stopped:
            return "", reason
        rest = self._writer.finish()
        return rest, "stop" if self._writer.stopped else reason
