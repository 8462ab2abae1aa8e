"""From a prompt to text: `Generator`, and the loop behind it.

Three layers: `Generator.tokens` yields ids, `Generator.stream` turns them into text as it becomes
certain, `Generator.generate` returns the whole result.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import ContextOverflowError, GenerationError
from gpt2_edge.manifest import Manifest
from gpt2_edge.package import Package, open_package
from gpt2_edge.providers import AUTO
from gpt2_edge.sampling import (
    Logits,
    Sampler,
    largest,
    log_probability,
    make_sampler,
    probabilities,
)
from gpt2_edge.session import FedSequence, Session
from gpt2_edge.stopping import StopStrings
from gpt2_edge.tokenizer import Tokenizer

Prompt = str | Sequence[int]
ShouldStop = Callable[[], bool]

_NEW_SEED_BITS = 53  # so that JSON readers with float64 numbers keep a reported seed exact


@dataclass(frozen=True)
class Token:
    """One generated token; `logprob` (natural logarithm) only where the config asks for it."""

    id: int
    logprob: float | None = None


@dataclass(frozen=True)
class NextToken:
    """One option for the next token, with its probability (0 to 1) over the whole vocabulary."""

    id: int
    text: str
    probability: float


@dataclass(frozen=True)
class GenerationResult:
    """What a generation came to.

    text: the new text, without the prompt and without a stop string; None where the package has
        no tokenizer.
    ids: all new token ids, the end-of-text token or those of a stop string included.
    finish_reason: "eos", "stop" (a stop string), "length" (max_new_tokens, or the context is
        full), "cancelled" (should_stop said so) or "interrupted" (Ctrl-C).
    seed: of the random generator; None for greedy decoding.
    provider: the execution provider that computed it (one of PROVIDERS).
    nodes: how many nodes of the graph each provider took; None where ONNX Runtime keeps no account
        (the CPU before 1.24).
    logprobs: one for each id, where the config asked for them.
    Times are in seconds, rates in tokens per second (0 where nothing was measured).
    """

    text: str | None
    ids: tuple[int, ...]
    finish_reason: str
    prompt_tokens: int
    seed: int | None
    prompt_seconds: float
    decode_seconds: float
    logprobs: tuple[float, ...] | None = None
    provider: str = "cpu"
    nodes: dict[str, int] | None = None

    @property
    def prompt_tokens_per_second(self) -> float:
        """Speed of the prefill; the time includes choosing the first token."""
        return self.prompt_tokens / self.prompt_seconds if self.prompt_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Speed of the tokens after the first, which belongs to the prefill."""
        later = len(self.ids) - 1
        return later / self.decode_seconds if later > 0 and self.decode_seconds else 0.0


@dataclass
class _Progress:
    """How far a generation is; shared by the layers of one call."""

    prompt_tokens: int
    seed: int | None
    provider: str
    nodes: dict[str, int] | None
    finish_reason: str = "length"
    tokens: list[Token] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    first_token: float | None = None
    last_token: float | None = None

    def result(self, text: str | None, with_logprobs: bool) -> GenerationResult:
        first = self.first_token or time.perf_counter()
        return GenerationResult(
            text=text,
            ids=tuple(token.id for token in self.tokens),
            finish_reason=self.finish_reason,
            prompt_tokens=self.prompt_tokens,
            seed=self.seed,
            prompt_seconds=first - self.started,
            decode_seconds=(self.last_token or first) - first,
            logprobs=tuple(token.logprob or 0.0 for token in self.tokens)
            if with_logprobs
            else None,
            provider=self.provider,
            nodes=self.nodes,
        )


class TextStream(Iterator[str]):
    """Pieces of text as they become certain, never half a character; then `result`."""

    def __init__(self, pieces: Iterator[str], finished: list[GenerationResult]) -> None:
        self._pieces = pieces
        self._finished = finished

    def __next__(self) -> str:
        return next(self._pieces)

    @property
    def result(self) -> GenerationResult:
        """The record of the whole generation; GenerationError before the stream has ended."""
        if not self._finished:
            raise GenerationError("the stream has not ended; read all of it before its result")
        return self._finished[0]


class Generator:
    """A loaded package. Threads may share one: every generation has its own cache."""

    def __init__(self, package: Package, session: Session, tokenizer: Tokenizer | None) -> None:
        self.package = package
        self.session = session
        self.tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        provider: str = AUTO,
        provider_options: Mapping[str, str] | None = None,
        threads: int | None = None,
        verify: bool = True,
    ) -> Generator:
        """Load the package in the folder `path`.

        provider: ONNX Runtime's execution provider, one of PROVIDERS, or "auto" for the best that
        is installed and takes this graph, in the end the CPU. provider_options: what ONNX Runtime
        documents for the provider that is named. threads: of ONNX Runtime on the CPU, and of
        providers that have their own there; None takes one for each physical core. verify: compare
        the SHA-256 of the files with the manifest. Raises PackageError, and ProviderError if the
        provider is not installed, takes nothing of the graph or has no such option.
        """
        package = open_package(path)
        tokenizer_file = package.manifest.tokenizer
        session = Session(
            package,
            provider=provider,
            provider_options=provider_options,
            threads=threads,
            verify=verify,
        )
        tokenizer = Tokenizer(package.folder / tokenizer_file) if tokenizer_file else None
        return cls(package, session, tokenizer)

    @property
    def manifest(self) -> Manifest:
        return self.package.manifest

    def generate(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
    ) -> GenerationResult:
        """Continue `prompt` (text, or token ids) and return the whole result.

        should_stop is asked before every token; Ctrl-C ends the generation with what there is.
        Raises GenerationError and ContextOverflowError for a prompt that cannot be taken.
        """
        stream = self.stream(prompt, config, should_stop)
        for _ in stream:
            pass
        return stream.result

    def stream(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
    ) -> TextStream:
        """Like `generate`, as an iterator over pieces of the new text."""
        config = config or GenerationConfig()
        ids = self.encode(prompt)
        if config.stop_strings and self.tokenizer is None:
            raise GenerationError("stop_strings need a tokenizer; this package has none")
        progress = self._progress(ids, config)
        finished: list[GenerationResult] = []
        return TextStream(self._text(ids, config, should_stop, progress, finished), finished)

    def tokens(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Iterator[Token]:
        """Like `generate`, as an iterator over tokens, without text or stop strings."""
        config = config or GenerationConfig()
        ids = self.encode(prompt)
        return self._tokens(ids, config, should_stop, self._progress(ids, config))

    def next_tokens(self, prompt: Prompt, k: int = 10) -> list[NextToken]:
        """The `k` most likely next tokens after `prompt`, most likely first."""
        if k < 1:
            raise GenerationError(f"k is {k}; it must be at least 1")
        ids = self.encode(prompt)
        logits = self.session.start(len(ids)).prefill(ids)
        assert logits is not None  # nothing stops it
        likely = probabilities(logits)
        return [
            NextToken(int(i), self.token_label(int(i)), float(likely[i]))
            for i in largest(logits, k)
        ]

    def logits(self, prompt: Prompt) -> npt.NDArray[np.float32]:
        """Logits [tokens, vocab] after every token of `prompt`."""
        ids = self.encode(prompt)
        return np.array(self.session.start(len(ids)).feed(ids, keep=0))

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of `prompt`, checked to be in the vocabulary and to fit the context."""
        if isinstance(prompt, str):
            if self.tokenizer is None:
                raise GenerationError(
                    f"{self.package.folder} has no tokenizer; give the prompt as token ids"
                )
            ids = self.tokenizer.encode(prompt)
        else:
            ids = [int(token_id) for token_id in prompt]
        architecture, static = self.manifest.architecture, self.manifest.graph.static
        if not ids:
            raise GenerationError(
                "the prompt is empty; give at least one token (to write from nothing, "
                "'<|endoftext|>' in most GPT-2 vocabularies)"
            )
        wrong = next((i for i in ids if not 0 <= i < architecture.vocab_size), None)
        if wrong is not None:
            raise GenerationError(
                f"token id {wrong} is outside the vocabulary of {architecture.vocab_size}"
            )
        if len(ids) > architecture.context_length:
            advice = "shorten it, or export with a larger --past" if static else "shorten it"
            raise ContextOverflowError(
                f"the prompt has {len(ids)} tokens; the model's context holds "
                f"{architecture.context_length}: {advice}"
            )
        return ids

    def token_label(self, token_id: int) -> str:
        """A token as text for people; without a tokenizer, its number."""
        return self.tokenizer.label(token_id) if self.tokenizer else str(token_id)

    def _progress(self, ids: list[int], config: GenerationConfig) -> _Progress:
        seed = None
        if config.samples:
            seed = secrets.randbits(_NEW_SEED_BITS) if config.seed is None else config.seed
        return _Progress(len(ids), seed, self.session.provider, self.session.nodes)

    def _text(
        self,
        ids: list[int],
        config: GenerationConfig,
        should_stop: ShouldStop | None,
        progress: _Progress,
        finished: list[GenerationResult],
    ) -> Iterator[str]:
        stops = StopStrings(config.stop_strings)
        detokenizer = self.tokenizer.stream() if self.tokenizer else None
        shown: list[str] = []
        for token in self._tokens(ids, config, should_stop, progress):
            if detokenizer is None:
                continue
            piece = stops.push(detokenizer.push(token.id))
            if piece:
                shown.append(piece)
                yield piece
            if stops.found:
                progress.finish_reason = "stop"
                break
        if detokenizer is not None and not stops.found:
            rest = stops.push(detokenizer.finish())
            if stops.found:
                progress.finish_reason = "stop"
            rest += stops.finish()
            if rest:
                shown.append(rest)
                yield rest
        text = "".join(shown) if detokenizer else None
        finished.append(progress.result(text, config.logprobs))

    def _tokens(
        self,
        ids: list[int],
        config: GenerationConfig,
        should_stop: ShouldStop | None,
        progress: _Progress,
    ) -> Iterator[Token]:
        """The decode loop."""
        choose = make_sampler(config, progress.seed or 0)
        eos_ids = () if config.ignore_eos else self.manifest.eos_token_ids
        progress.started = time.perf_counter()
        sequence = self.session.start(len(ids) + config.max_new_tokens - 1)
        fed: list[int] = ids
        while True:
            try:
                logits = _step(sequence, fed, should_stop)
                token = None if logits is None else _choose(logits, choose, config.logprobs)
            except KeyboardInterrupt:
                progress.finish_reason = "interrupted"
                return
            if token is None:
                progress.finish_reason = "cancelled"
                return
            progress.tokens.append(token)
            progress.last_token = time.perf_counter()
            progress.first_token = progress.first_token or progress.last_token
            ended = token.id in eos_ids
            if ended:
                progress.finish_reason = "eos"
            yield token
            if ended or len(progress.tokens) == config.max_new_tokens:
                return
            fed = [token.id]
            if sequence.length == self.manifest.architecture.context_length:
                if config.context_overflow == "stop":
                    return
                # The window slides: its newer half becomes the prompt again.
                fed = [*sequence.ids[(sequence.length + 1) // 2 :], token.id]
                sequence.trim(0)


def _choose(logits: Logits, choose: Sampler, with_logprob: bool) -> Token:
    token_id = choose(logits)
    return Token(token_id, log_probability(logits, token_id) if with_logprob else None)


def _step(
    sequence: FedSequence, ids: list[int], should_stop: ShouldStop | None
) -> npt.NDArray[np.float32] | None:
    """Logits [vocab] after `ids`; None if the caller wants to stop."""
    if len(ids) > 1:
        return sequence.prefill(ids, should_stop=should_stop)
    if should_stop is not None and should_stop():
        return None
    logits: npt.NDArray[np.float32] = sequence.feed(ids)[0]
    return logits
