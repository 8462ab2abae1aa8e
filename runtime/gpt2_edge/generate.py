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

    Attributes:
        package: the folder's files.
        session: the graph in ONNX Runtime.
        tokenizer: None where the package has none.
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
        """Continue a prompt and return the whole result.

        Args:
            prompt: text, or token ids.
            config: the settings. What neither it nor a keyword says is as in `generation_config`.
            should_stop: asked before every token, and between two parts of a long prompt.
            **settings: the same as keywords, which win over `config`: `temperature=0.8`; also
                `cache`, `assistant`, `logits_processor` and `stopping_criteria`.

        Raises:
            GenerationError: a prompt that cannot be taken, a setting of another name, type or
                range, or a model whose logits are not numbers.
            ContextOverflowError: the prompt is longer than the context.
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
        """Continue several prompts and return the results in their order.

        They are read one by one, and all texts take their steps together. A text does not depend
        on the others. Errors are those of `generate`; the first ends all.

        Args:
            prompts: of any lengths.
            config: for all, or one for each.
            should_stop: as in `generate`.
            **settings: as in `generate`, for all.
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
        """The cache that PromptCache.save wrote with the same package.

        Args:
            path: the file.

        Raises:
            PackageError: it cannot be read, or is of another package.
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
        """The most likely next tokens after a prompt, most likely first.

        Their probabilities are the model's, over the whole vocabulary. With temperature, top_k or
        top_p they are those that a token is drawn with, and there may be fewer than `k` left.

        Args:
            prompt: text, or token ids.
            k: how many.
            temperature: as in GenerationConfig; not given, it changes nothing.
            top_k: likewise.
            top_p: likewise.
            cache: of `new_cache`; only what it does not hold of the prompt is read. One more token
                costs one step, which in quantized packages rounds differently from a prompt.
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
        """Logits [tokens, vocab] after every token of a prompt.

        Args:
            prompt: text, or token ids.
            keep: only after the last so many tokens, [keep, vocab], which takes less memory.
        """
        rows = 0 if keep is None else whole_number(keep)
        if rows is None or (keep is not None and rows < 1):
            raise GenerationError(f"keep is {shown(keep)}; it must be a whole number, at least 1")
        ids = self.encode(prompt)
        return np.array(self.session.start(len(ids)).feed(ids, keep=min(rows, len(ids))))

    @property
    def gives_attention(self) -> bool:
        """Whether `attention` can answer: it can for the graph variant fused."""
        return self.session.attention.is_there

    def attention(
        self, prompt: Prompt, layer: int | None = None, head: int | None = None
    ) -> npt.NDArray[np.float32]:
        """With what weights the tokens of a prompt attend to each other.

        [layers, heads, tokens, tokens]: row q says how much of token q's attention each token gets.
        A row's weights sum to 1, and those behind token q are 0. They come out of the package's own
        graph on the CPU, which the first call loads a second time, from the same files.

        Args:
            prompt: text, or token ids.
            layer: of this layer alone; the array has one there.
            head: of this head alone, likewise.

        Raises:
            GenerationError: the graph variant is not fused, or there is no memory.
            PackageError: the graph cannot be taken.
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
