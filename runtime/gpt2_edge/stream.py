"""A generation as it is read: pieces of text, or tokens, and the record at its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from gpt2_edge.closing import Closing, ClosingItself
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import SingleText
from gpt2_edge.errors import GenerationError
from gpt2_edge.graph.session import Session
from gpt2_edge.records import single_result
from gpt2_edge.result import GenerationResult, TextEvent


class EventStream(ClosingItself, Iterator[TextEvent]):
    """What each step adds to a text; then `result`.

    Closing it ends the generation and frees its rows: by `close`, as a context manager, or by
    dropping the last reference to it.
    """

    def __init__(
        self, decoder: Decoder, request: SingleText, session: Session, seed: int | None
    ) -> None:
        self._decoder: Decoder | None = decoder
        self._request, self._session, self._seed = request, session, seed
        self._events: list[TextEvent] = []
        self._taking = threading.Lock()
        decoder.submit(request)

    def __next__(self) -> TextEvent:
        request = self._request
        try:
            while True:
                # In this order: other threads may close it, or take its steps.
                decoder, over = self._decoder, request.over
                if (event := self._take()) is not None:
                    return event
                if request.error is not None:
                    raise request.error
                if over or decoder is None:
                    raise StopIteration
                decoder.step()
        except BaseException:  # the end, an error or Ctrl-C: nothing comes after it
            self.close()
            raise

    def close(self) -> None:
        """End the generation where it is, with finish_reason "cancelled" unless it was over.

        It waits for nothing: a step that another thread is in adds no more to the text.
        """
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.cancel(self._request)
            while self._take() is not None:
                pass

    def _take(self) -> TextEvent | None:
        """The next event that the request has told, in order, whichever thread asks."""
        with self._taking:
            if not self._request.events:
                return None
            self._events.append(self._request.events.popleft())
            return self._events[-1]

    @property
    def ids(self) -> tuple[int, ...]:
        """All new token ids so far."""
        return tuple(self._request.new_ids)

    @property
    def writes_text(self) -> bool:
        """Whether there is text; False where the package has no tokenizer."""
        return self._request.writes_text

    @property
    def result(self) -> GenerationResult:
        """The record of the whole generation, or of what there was when it was broken off.

        GenerationError before either.
        """
        if self._decoder is not None:
            raise GenerationError(
                "the stream has not ended; read all of it, or close it, before its result"
            )
        return single_result(self._request, self._events, self._session, self._seed)

    def __repr__(self) -> str:
        state = repr(self._request.finish_reason) if self._decoder is None else "not ended"
        return f"<{type(self).__name__} {len(self._request.new_ids)} tokens, {state}>"


class TextStream(Closing, Iterator[str]):
    """Pieces of text as they become certain, never half a character; then `result`.

    Where the package has no tokenizer, an empty piece comes with every token; `ids` has them.
    events: the stream that it reads, for who wants ids and logprobs too. Closing is as there.
    """

    def __init__(self, events: EventStream) -> None:
        self.events = events

    def __next__(self) -> str:
        while not (piece := next(self.events).text) and self.events.writes_text:
            pass
        return piece

    def close(self) -> None:
        """See EventStream."""
        self.events.close()

    @property
    def ids(self) -> tuple[int, ...]:
        """All new token ids so far; those of a piece may come before it, never after it."""
        return self.events.ids

    @property
    def result(self) -> GenerationResult:
        """See EventStream."""
        return self.events.result

    def __repr__(self) -> str:
        return repr(self.events).replace("EventStream", "TextStream")
