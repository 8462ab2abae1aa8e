"""From a prompt to text: `Generator`.

Three layers: `Generator.tokens` yields ids, `Generator.stream` turns them into text as it becomes
certain, `Generator.generate` returns the whole result.
"""

from __future__ import annotations

from collections import abc
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from gpt2_edge.calls import checked_cache, decoder_of, make_job, make_jobs
from gpt2_edge.config import GenerationConfig
from gpt2_edge.decode.request import ShouldStop
from gpt2_edge.errors import GenerationError, GPT2EdgeError
from gpt2_edge.jobs import Batch, Job, new_decoder
from gpt2_edge.model import Model, Prompt
from gpt2_edge.prompt_cache import PromptCache
from gpt2_edge.result import GenerationResult as GenerationResult
from gpt2_edge.result import NextToken as NextToken
from gpt2_edge.result import TextEvent as TextEvent
from gpt2_edge.result import Token as Token
from gpt2_edge.sampling import most_likely
from gpt2_edge.stream import EventStream as EventStream
from gpt2_edge.stream import TextStream as TextStream
from gpt2_edge.untrusted import shown
from gpt2_edge.values import whole_number

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from gpt2_edge.calls import CallSettings


class Generator(Model):
    """A loaded package. Threads may share one: every generation has its own cache.

    package, session, tokenizer (None where the package has none): what it is made of.
    generation_config: what the package's generation_config.json sets; it holds where neither a
    GenerationConfig nor a keyword says otherwise.
    """

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
        job = make_job(self, prompt, config, should_stop, settings)
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
        return self._finished(make_jobs(self, prompts, config, should_stop, settings), settings)

    def stream_batch(
        self,
        prompts: Sequence[Prompt],
        config: GenerationConfig | Sequence[GenerationConfig] | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> Batch:
        """Like `generate_batch`, as an iterator over (number of the prompt, TextEvent)."""
        jobs = make_jobs(self, prompts, config, should_stop, settings)
        return Batch(self.session, self.tokenizer, jobs, decoder_of(self, jobs, settings))

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
        job = make_job(self, prompt, config, should_stop, settings)
        if job.config.num_beams > 1 or job.config.num_return_sequences > 1:
            raise GenerationError(
                "num_beams and num_return_sequences give texts at their end; use generate"
            )
        (seed,) = job.maker.seeds()
        request = job.maker.single(seed)
        decoder = decoder_of(self, [job], settings) or new_decoder(self.session, [job])
        return EventStream(decoder, request, self.session, seed)

    async def astream(
        self,
        prompt: Prompt,
        config: GenerationConfig | None = None,
        should_stop: ShouldStop | None = None,
        **settings: Unpack[CallSettings],
    ) -> AsyncIterator[str]:
        """Like `stream`, for asyncio: the model runs in a thread, and the loop goes on."""
        import asyncio  # with all that it imports, a tenth of the time until the first token

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
        cache: PromptCache | None = None,
    ) -> list[NextToken]:
        """The `k` most likely next tokens after `prompt`, most likely first.

        Their probabilities are the model's, over the whole vocabulary. With temperature, top_k or
        top_p (as in GenerationConfig; what is not given changes nothing) they are those that a
        token is drawn with, and there may be fewer than `k` left. cache: of `new_cache`; of the
        prompt, only what it does not hold is read, and one more token costs one step (which in
        quantized packages rounds otherwise than a prompt read at once). Raises GenerationError and
        ContextOverflowError.
        """
        count = whole_number(k)
        if count is None or count < 1:
            raise GenerationError(f"k is {shown(k)}; it must be a whole number, at least 1")
        asked = GenerationConfig(
            temperature=temperature, top_k=0 if top_k is None else top_k, top_p=top_p
        ).resolved()
        ids = self.encode(prompt)
        logits = (
            self.session.start(len(ids)).prefill(ids)
            if cache is None
            else checked_cache(self, cache).logits_after(ids)
        )
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

    @property
    def gives_attention(self) -> bool:
        """Whether `attention` can answer: of packages of the fused flavour it does."""
        return self.session.attention.is_there

    def attention(
        self, prompt: Prompt, layer: int | None = None, head: int | None = None
    ) -> npt.NDArray[np.float32]:
        """With what weights the tokens of `prompt` attend to each other.

        [layers, heads, tokens, tokens]: row q says how much of token q's attention each token gets.
        A row's weights sum to 1, and those behind token q are 0. layer, head: of this one alone,
        and the array has one there. They come out of the package's own
        graph on the CPU, which for this is loaded a second time, from the same files, by the first
        call. Raises GenerationError and ContextOverflowError, GenerationError too for packages of
        other flavours than fused and where there is no memory, and PackageError for a graph that
        cannot be taken.
        """
        return self.session.attention.weights(self.encode(prompt), layer, head)

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

    def _finished(self, jobs: Sequence[Job], settings: Mapping[str, Any]) -> list[GenerationResult]:
        with Batch(self.session, self.tokenizer, jobs, decoder_of(self, jobs, settings)) as batch:
            for _ in batch:
                pass
        return batch.results


def _tokens(events: EventStream) -> abc.Generator[Token, None, None]:
    with events:
        for event in events:
            for number, token_id in enumerate(event.ids):
                yield Token(token_id, event.logprobs[number] if event.logprobs else None)
