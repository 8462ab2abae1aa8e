"""Tokens as text, given out as it becomes certain."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterator
from contextlib import closing
from types import TracebackType

from gpt2_edge.decoding import Progress, Request, decode
from gpt2_edge.errors import GenerationError
from gpt2_edge.result import GenerationResult, Token
from gpt2_edge.sampling import Sampler
from gpt2_edge.session import Session
from gpt2_edge.stopping import StopStrings
from gpt2_edge.tokenizer import Tokenizer


class TextStream(Iterator[str]):
    """Pieces of text as they become certain, never half a character; then `result`.

    Where the package has no tokenizer, an empty piece comes with every token; `ids` has them.

    Closing it ends the generation and frees its cache at once: by `close`, as a context manager,
    or by dropping the last reference to it.
    """

    def __init__(
        self, session: Session, tokenizer: Tokenizer | None, request: Request, choose: Sampler
    ) -> None:
        self._progress = Progress()
        self._request, self._session = request, session
        self._has_text = tokenizer is not None
        tokens = decode(session, request, choose, self._progress)
        self._pieces = _pieces(tokens, tokenizer, request, self._progress)
        self._ended = False

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except BaseException:  # the end, an error or Ctrl-C: nothing comes after it
            self._ended = True
            raise

    def close(self) -> None:
        """End the generation where it is, with finish_reason "cancelled" unless it was over.

        Where another thread waits for the next piece, its step is finished first.
        """
        self._progress.closed = True
        try:
            self._pieces.close()
        except ValueError:  # it is running: that thread's, or in should_stop, which is asked next
            return
        self._ended = True

    def __enter__(self) -> TextStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def ids(self) -> tuple[int, ...]:
        """All new token ids so far; those of a piece may come before it, never after it."""
        return tuple(token.id for token in self._progress.tokens)

    @property
    def result(self) -> GenerationResult:
        """The record of the whole generation, or of what there was when it was broken off.

        GenerationError before either.
        """
        if not self._ended:
            raise GenerationError(
                "the stream has not ended; read all of it, or close it, before its result"
            )
        return self._progress.result(self._request, self._session, self._has_text)

    def __repr__(self) -> str:
        state = repr(self._progress.finish_reason) if self._ended else "not ended"
        return f"<TextStream {len(self._progress.tokens)} tokens, {state}>"


def _pieces(
    tokens: abc.Generator[Token, None, None],
    tokenizer: Tokenizer | None,
    request: Request,
    progress: Progress,
) -> abc.Generator[str, None, None]:
    """The text of `tokens` up to a stop string; what is given out is kept in `progress`."""
    stops = StopStrings(request.config.stop_strings)
    detokenizer = tokenizer.stream() if tokenizer else None
    with closing(tokens):
        for token in tokens:
            if detokenizer is None:
                yield ""
                continue
            piece = stops.push(detokenizer.push(token.id))
            if stops.found:
                progress.finish_reason = "stop"
            if piece:
                progress.text.append(piece)
                yield piece
            if stops.found:
                return
    if detokenizer is not None:
        rest = stops.push(detokenizer.finish())
        if stops.found:
            progress.finish_reason = "stop"
        rest += stops.finish()
        if rest:
            progress.text.append(rest)
            yield rest
