"""From a prompt to text: `Generator`.

Three layers: `Generator.tokens` yields ids, `Generator.stream` turns them into text as it becomes
certain, `Generator.generate` returns the whole result.
"""

from __future__ import annotations

import asyncio
from collections import abc
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from gpt2_edge.assistant import drafts_of
from gpt2_edge.config import (
    CALL_ARGUMENTS,
    GENERATION_CONFIG_FILE,
    GenerationConfig,
    checked_config,
)
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import ShouldStop
from gpt2_edge.decode.window import fitted
from gpt2_edge.errors import (
    ContextOverflowError,
    GenerationError,
    GPT2EdgeError,
    PackageError,
)
from gpt2_edge.jobs import Batch, Job, new_decoder
from gpt2_edge.manifest import Manifest
from gpt2_edge.package import Package, open_package
from gpt2_edge.prompt_cache import PromptCache
from gpt2_edge.prompts import check_vocabulary, require_text, token_ids
from gpt2_edge.providers import AUTO
from gpt2_edge.requests import Extras, RequestMaker
from gpt2_edge.result import GenerationResult as GenerationResult
from gpt2_edge.result import NextToken as NextToken
from gpt2_edge.result import TextEvent as TextEvent
from gpt2_edge.result import Token as Token
from gpt2_edge.sampling import most_likely
from gpt2_edge.session import Session
from gpt2_edge.stream import EventStream as EventStream
from gpt2_edge.stream import TextStream as TextStream
from gpt2_edge.tokenizer import Tokenizer
from gpt2_edge.untrusted import TOKENIZER_LIMIT, shown
from gpt2_edge.values import whole_number

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from gpt2_edge.config import CallSettings

Prompt = str | Sequence[int]


class Generator:
    """A loaded package. Threads may share one: every generation has its own cache.

    package, session, tokenizer (None where the package has none): what it is made of.
    generation_config: what the package's generation_config.json sets; it holds where neither a
    GenerationConfig nor a keyword says otherwise.
    """

    def __init__(
        self,
        package: Package,
        session: Session,
        tokenizer: Tokenizer | None,
        generation_config: GenerationConfig | None = None,
    ) -> None:
        self.package = package
        self.session = session
        self.tokenizer = tokenizer
        self.generation_config = generation_config or GenerationConfig()

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
        # The session compares the hashes of everything that is read below.
        session = Session(
            package,
            provider=provider,
            provider_options=provider_options,
            threads=threads,
            verify=verify,
        )
        tokenizer = None
        if name := package.manifest.tokenizer:
            content = package.read(name, TOKENIZER_LIMIT, verify)  # which hashes what it returns
            tokenizer = Tokenizer(package.folder / name, content)
        return cls(package, session, tokenizer, _generation_config(package))

    @property
    def manifest(self) -> Manifest:
        """What the package says about itself (docs/PACKAGE.md)."""
        return self.package.manifest

    @property
    def name(self) -> str:
        """Name of the package."""
        return self.manifest.name

    @property
    def context_length(self) -> int:
        """How many tokens a prompt and what is written after it may have together."""
        return self.manifest.architecture.context_length

    @property
    def vocab_size(self) -> int:
        """Number of token ids, from 0 on; a tokenizer may have fewer."""
        return self.manifest.architecture.vocab_size

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return self.manifest.eos_token_ids

    @property
    def fallback_reason(self) -> str | None:
        """Why provider "auto" took a later choice than its first; None if it did not."""
        return self.session.fallback_reason

    def generate(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> GenerationResult:
        """Continue `prompt` (text, or token ids) and return the whole result.

        config: the settings; or give them as keywords, which win over `config`:
        `generate(text, temperature=0.8)`. What neither says is as in `generation_config`.
        should_stop is asked before every token, and between two parts of a long prompt. Raises
        GenerationError and ContextOverflowError for a prompt that cannot be taken,
        GenerationError for settings of another name, type or range, and for a model whose logits
        are not numbers.
        """
        job = self._job(prompt, config, should_stop, settings)
        return self._finished([job], settings)[0]

    def generate_batch(
        self,
        prompts: Sequence[Prompt],
        config: GenerationConfig | Sequence[GenerationConfig] | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> list[GenerationResult]:
        """Continue each of `prompts` and return the results in their order.

        config: for all, or one for each. The prompts may be of any length; they are read one by
        one, and all texts take their steps together. A text is the same whatever is beside it.
        Errors are those of `generate`; the first ends all.
        """
        return self._finished(self._jobs(prompts, config, should_stop, settings), settings)

    def stream_batch(
        self,
        prompts: Sequence[Prompt],
        config: GenerationConfig | Sequence[GenerationConfig] | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> Batch:
        """Like `generate_batch`, as an iterator over (number of the prompt, TextEvent)."""
        jobs = self._jobs(prompts, config, should_stop, settings)
        return Batch(self.session, self.tokenizer, jobs, self._decoder(jobs, settings))

    def stream(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> TextStream:
        """Like `generate`, as an iterator over pieces of the new text."""
        return TextStream(self.events(prompt, config, should_stop, **settings))

    def events(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> EventStream:
        """Like `stream`, with the ids and log-probabilities behind the text."""
        job = self._job(prompt, config, should_stop, settings)
        if job.config.num_beams > 1 or job.config.num_return_sequences > 1:
            raise GenerationError(
                "num_beams and num_return_sequences give texts at their end; use generate"
            )
        (seed,) = job.maker.seeds()
        request = job.maker.single(seed)
        decoder = self._decoder([job], settings) or new_decoder(self.session, [job])
        return EventStream(decoder, request, self.session, seed)

    async def astream(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> AsyncIterator[str]:
        """Like `stream`, for asyncio: the model runs in a thread, and the loop goes on."""
        with self.stream(prompt, config, should_stop, **settings) as stream:
            while (piece := await asyncio.to_thread(next, stream, None)) is not None:
                yield piece

    def new_cache(self) -> PromptCache:
        """An empty cache for `generate(..., cache=cache)`, with room for the whole context."""
        return PromptCache(self.session)

    def load_cache(self, path: str | Path) -> PromptCache:
        """The cache that PromptCache.save wrote to `path` with the same package.

        Raises PackageError for a file that cannot be read or is of another package.
        """
        return PromptCache.load(self.session, path)

    def tokens(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> abc.Generator[Token, None, None]:
        """Like `stream`, as an iterator over tokens, those of held back text too."""
        events = self.events(prompt, config, should_stop, **settings)
        return _tokens(events)

    def next_tokens(
        self,
        prompt: Prompt,
        k: int = 10,
        *,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> list[NextToken]:
        """The `k` most likely next tokens after `prompt`, most likely first.

        Their probabilities are the model's, over the whole vocabulary. With temperature, top_k or
        top_p (as in GenerationConfig; what is not given changes nothing) they are those that a
        token is drawn with, and there may be fewer than `k` left. Raises GenerationError and
        ContextOverflowError.
        """
        count = whole_number(k)
        if count is None or count < 1:
            raise GenerationError(f"k is {shown(k)}; it must be a whole number, at least 1")
        asked = GenerationConfig(
            temperature=temperature, top_k=0 if top_k is None else top_k, top_p=top_p
        ).resolved()
        ids = self.encode(prompt)
        logits = self.session.start(len(ids)).prefill(ids)
        assert logits is not None  # nothing stops it
        options, shares = most_likely(logits, count, asked.temperature, asked.top_k, asked.top_p)
        return [
            NextToken(token_id, self.token_label(token_id), share)
            for token_id, share in zip(options.tolist(), shares.tolist(), strict=True)
        ]

    def logits(self, prompt: Prompt, keep: int | None = None) -> npt.NDArray[np.float32]:
        """Logits [tokens, vocab] after every token of `prompt`.

        keep: only after the last so many tokens, [keep, vocab], which takes less memory. Raises
        GenerationError and ContextOverflowError.
        """
        rows = 0 if keep is None else whole_number(keep)
        if rows is None or (keep is not None and rows < 1):
            raise GenerationError(f"keep is {shown(keep)}; it must be a whole number, at least 1")
        ids = self.encode(prompt)
        return np.array(self.session.start(len(ids)).feed(ids, keep=min(rows, len(ids))))

    def encode(
        self, prompt: Prompt, *, add_special_tokens: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of `prompt`, checked to be in the vocabulary and to fit the context.

        add_special_tokens: with those that the tokenizer puts around a text, which GPT-2's does
        not. parse_special: special tokens written out in the text count as such; False takes them
        for ordinary text, as it is right for text from strangers. Raises GenerationError and
        ContextOverflowError.
        """
        ids = self._prompt_ids(prompt, add_special_tokens, parse_special)
        self._check_fits(ids)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens.

        Raises GenerationError for what are no token ids, and where the package has no tokenizer.
        """
        checked = check_vocabulary(token_ids(ids, "ids", takes=""), self.vocab_size)
        return self._with_tokenizer("its token ids are all there is").decode(checked)

    def count_tokens(self, text: str) -> int:
        """How many tokens `text` has as a prompt, however long it is.

        Raises GenerationError where the package has no tokenizer.
        """
        return len(self._with_tokenizer("it takes no text").encode(require_text(text)))

    def token_label(self, token_id: int) -> str:
        """A token as text for people; without a tokenizer, its number."""
        (checked,) = check_vocabulary(token_ids([token_id], "token_id", ""), self.vocab_size)
        return self.tokenizer.label(checked) if self.tokenizer else str(checked)

    def __repr__(self) -> str:
        recipe = self.manifest.recipe.get("name", "unknown recipe")
        return (
            f"<Generator {self.name}: {recipe}, {self.package.total_bytes / 1e6:.1f} MB, context "
            f"{self.context_length}, vocabulary {self.vocab_size}, on {self.session.provider}>"
        )

    def __reduce__(self) -> NoReturn:
        raise GPT2EdgeError(
            "a Generator cannot be pickled or copied, as it holds a session of ONNX Runtime; call "
            "Generator.load in each process (threads may share one)"
        )

    def _prompt_ids(
        self, prompt: Prompt, add_special_tokens: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of `prompt`, one or more of the vocabulary, however many."""
        if isinstance(prompt, str):
            ids = self._with_tokenizer("give the prompt as token ids").encode(
                prompt, add_special_tokens=add_special_tokens, parse_special=parse_special
            )
        else:
            ids = token_ids(prompt)
        if not ids:
            raise GenerationError(
                "the prompt is empty; give at least one token (to write from nothing, "
                "'<|endoftext|>' in most GPT-2 vocabularies)"
            )
        return check_vocabulary(ids, self.vocab_size)

    def _check_fits(self, ids: list[int]) -> None:
        if len(ids) > self.context_length:
            static = self.manifest.graph.static
            advice = "shorten it, or export with a larger --past" if static else "shorten it"
            raise ContextOverflowError(
                f"the prompt has {len(ids)} tokens; the model's context holds "
                f"{self.context_length}: {advice}"
            )

    def _with_tokenizer(self, otherwise: str) -> Tokenizer:
        if self.tokenizer is None:
            raise GenerationError(f"{self.package.folder} has no tokenizer; {otherwise}")
        return self.tokenizer

    def _jobs(
        self,
        prompts: Sequence[Prompt],
        config: GenerationConfig | Sequence[GenerationConfig] | None,
        should_stop: ShouldStop | None,
        settings: Mapping[str, Any],
    ) -> list[Job]:
        """Each prompt with its settings, all checked before anything is computed."""
        if isinstance(prompts, (str, bytes)) or not hasattr(prompts, "__len__"):
            raise GenerationError(f"prompts is {shown(prompts)}; give a list of prompts")
        configs = [config] * len(prompts) if not isinstance(config, (list, tuple)) else config
        if len(configs) != len(prompts):
            raise GenerationError(
                f"there are {len(configs)} configs for {len(prompts)} prompts; give one for each"
            )
        return [
            self._job(prompt, each, should_stop, settings)
            for prompt, each in zip(prompts, configs, strict=True)
        ]

    def _job(
        self,
        prompt: Prompt,
        config: GenerationConfig | None,
        should_stop: ShouldStop | None,
        settings: Mapping[str, Any],
    ) -> Job:
        named = {name: value for name, value in settings.items() if name not in CALL_ARGUMENTS}
        effective = checked_config(config, named).resolved(self.generation_config)
        ids = self._prompt_ids(prompt)
        if effective.context_overflow == "slide":
            ids = fitted(ids, self.context_length, effective.keep)
        self._check_fits(ids)
        assistant = settings.get("assistant")
        extras = Extras(
            should_stop=_functions("should_stop", should_stop, single=True)[0],
            logits_processor=_functions("logits_processor", settings.get("logits_processor")),
            stopping_criteria=_functions("stopping_criteria", settings.get("stopping_criteria")),
            drafter=None if assistant is None else drafts_of(assistant, self),
        )
        maker = RequestMaker(
            ids, effective, self.tokenizer, self.eos_token_ids, self.vocab_size, extras
        )
        return Job(ids, effective, maker)

    def _finished(self, jobs: Sequence[Job], settings: Mapping[str, Any]) -> list[GenerationResult]:
        with Batch(self.session, self.tokenizer, jobs, self._decoder(jobs, settings)) as batch:
            for _ in batch:
                pass
        return batch.results

    def _decoder(self, jobs: Sequence[Job], settings: Mapping[str, Any]) -> Decoder | None:
        """That of the cache that was given."""
        cache = settings.get("cache")
        if cache is None:
            return None
        if not isinstance(cache, PromptCache) or cache.session is not self.session:
            raise GenerationError(
                f"cache is {shown(cache)}; make one with this generator's new_cache or load_cache"
            )
        if any(job.config.num_beams > 1 for job in jobs):
            raise GenerationError("a cache holds one text; leave out num_beams, or the cache")
        return cache.decoder


def _functions(name: str, given: Any, single: bool = False) -> Any:
    """`given` as a list of functions (single: of one or None), checked to be that."""
    functions = [given] if single else list(given) if isinstance(given, (list, tuple)) else given
    functions = [] if functions is None else functions
    if not isinstance(functions, list) or not all(
        callable(function) or (single and function is None) for function in functions
    ):
        expected = "a function" if single else "a list of functions"
        raise GenerationError(f"{name} is {shown(given)}; it must be {expected}")
    return functions


def _tokens(events: EventStream) -> abc.Generator[Token, None, None]:
    with events:
        for event in events:
            for number, token_id in enumerate(event.ids):
                yield Token(token_id, event.logprobs[number] if event.logprobs else None)


def _generation_config(package: Package) -> GenerationConfig:
    """What the package's own generation_config.json sets."""
    if GENERATION_CONFIG_FILE not in package.manifest.files:
        return GenerationConfig()
    try:
        return GenerationConfig.from_pretrained(package.folder)
    except GenerationError as error:
        raise PackageError(f"{error}; mend it in the checkpoint and export that again") from error
