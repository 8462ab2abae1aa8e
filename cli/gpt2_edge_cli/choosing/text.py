"""A text that grows choice by choice: what it is, what may come next, and what came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpt2_edge.errors import ContextOverflowError, GenerationError

if TYPE_CHECKING:
    from gpt2_edge.config import GenerationConfig
    from gpt2_edge.generate import Generator
    from gpt2_edge.result import NextToken


class ChosenText:
    """Tokens behind a prompt, which can be taken back; a cache makes each of them cost one step.

    count: how many options there are at a time. config: temperature, top_k, top_p (what is not
    given changes nothing) and the seed of `draw`.
    """

    def __init__(
        self, generator: Generator, prompt: Sequence[int], count: int, config: GenerationConfig
    ) -> None:
        self._generator, self._count, self._config = generator, count, config
        self._cache = generator.new_cache()
        self._prompt = list(prompt)
        # One entry for each choice: the tokens behind the prompt, and the options behind them.
        self._states: list[tuple[list[int], list[NextToken] | None]] = [([], None)]
        self._draws = 0

    @property
    def ids(self) -> list[int]:
        """Prompt and chosen tokens."""
        return [*self._prompt, *self._states[-1][0]]

    @property
    def options(self) -> list[NextToken]:
        """The likeliest next tokens."""
        chosen, options = self._states[-1]
        if options is None:
            config = self._config
            options = self._generator.next_tokens(
                self.ids,
                self._count,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
                cache=self._cache,
            )
            self._states[-1] = chosen, options
        return options

    def take(self, number: int) -> None:
        """Take option `number` (from 1)."""
        if not 1 <= number <= len(self.options):
            raise GenerationError(f"there is no option {number}")
        self._push([self.options[number - 1].id])

    def draw(self) -> None:
        """Take any token, as likely as it is."""
        from gpt2_edge.sampling import make_chooser

        settings = self._config.resolved()
        choose = make_chooser(settings, settings.seed or 0)
        token_id = choose(self._cache.logits_after(self.ids), self._draws)
        self._push([token_id])
        self._draws += 1

    def add(self, text: str) -> None:
        """Put words of one's own behind the text; what looks like a special token is none."""
        self._push(self._generator.prompt_ids(text, False, False))

    def undo(self) -> bool:
        """Take back the last choice; whether there was one."""
        if len(self._states) == 1:
            return False
        self._states.pop()
        return True

    @property
    def text(self) -> str:
        """All of it as text, special tokens by their names; ids where there is no tokenizer."""
        generator = self._generator
        if generator.tokenizer is None:
            return ",".join(map(str, self.ids))
        parts: list[str] = []
        run: list[int] = []
        for token_id in self.ids:
            if generator.tokenizer.decode([token_id]):
                run.append(token_id)
                continue
            parts += [generator.decode(run), generator.token_label(token_id)]
            run = []
        return "".join([*parts, generator.decode(run)])

    def _push(self, ids: list[int]) -> None:
        chosen = [*self._states[-1][0], *ids]
        if len(self._prompt) + len(chosen) > self._generator.context_length:
            raise ContextOverflowError(
                f"the context holds {self._generator.context_length} tokens, and no more"
            )
        self._states.append((chosen, None))
