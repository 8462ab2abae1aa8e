"""A conversation: its turns, its settings, and the cache that holds what was read already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.text.turns import Turn, Turns
from gpt2_edge_cli.setting_options import CHAT_SETTINGS, typed_setting

if TYPE_CHECKING:
    from gpt2_edge.config import EffectiveSettings
    from gpt2_edge.generate import Generator
    from gpt2_edge.result import GenerationResult


class Conversation:
    """Turns of a person and a package.

    forgotten: how many turns fell out of the context for the last answer.
    """

    def __init__(
        self,
        generator: Generator,
        turns: Turns,
        settings: Mapping[str, Any],
        assistant: Generator | None = None,
    ) -> None:
        self.turns: list[Turn] = []
        self.forgotten = 0
        self._generator, self._turns, self._assistant = generator, turns, assistant
        self._settings = dict(settings)
        self._cache = generator.new_cache()
        self._answers = 0  # that were begun: each draws with a seed of its own
        self.settings()

    def answer(
        self, message: str, should_stop: Callable[[], bool], write: Callable[[str], None]
    ) -> GenerationResult:
        """Answer `message` and keep both as a turn, unless nothing was written.

        The oldest turns are forgotten where all do not fit. Raises GenerationError and
        ContextOverflowError, and keeps nothing then.
        """
        kept, ids = self._fitting(message)
        settings: Any = {**self._settings, "eos_token_id": self._ends()}
        if "seed" in settings:
            settings["seed"] += self._answers
        stream = self._generator.stream(
            ids, None, should_stop, cache=self._cache, assistant=self._assistant, **settings
        )
        self._answers += 1
        with stream:
            for piece in stream:
                write(piece)
        result = stream.result
        if result.ids:
            self.forgotten = len(self.turns) - len(kept)
            self.turns = [*kept, Turn(message, result.ids, result.text or "")]
        return result

    def undo(self) -> Turn:
        """Take back the last turn, which is returned; GenerationError where there is none."""
        if not self.turns:
            raise GenerationError("there is no turn to take back")
        return self.turns.pop()

    def reset(self) -> None:
        """Forget all turns."""
        self.turns.clear()

    def seed(self, seed: int) -> None:
        """The next answer draws with `seed`, the ones behind it with the next numbers."""
        self._settings["seed"], self._answers = seed, 0

    def set(self, name: str, text: str) -> None:
        """Set what `name` is as `text` says, for all answers from here on; empty: no longer set.

        Raises GenerationError for a name that is none, and for a value that cannot be.
        """
        name = name.lstrip("-").replace("-", "_")
        if name not in CHAT_SETTINGS:
            from gpt2_edge.config import GenerationConfig

            GenerationConfig().updated({name: None})  # which says what is meant
            raise GenerationError(f"{name} is no setting of a chat")
        before = dict(self._settings)
        if text:
            self._settings[name] = typed_setting(name, text)
            self._answers = 0 if name == "seed" else self._answers
        else:
            self._settings.pop(name, None)
        try:
            self.settings()
        except GenerationError:
            self._settings = before
            raise

    def settings(self) -> EffectiveSettings:
        """What holds for the next answer; GenerationError for values that cannot be."""
        from gpt2_edge.config import GenerationConfig

        config = GenerationConfig(**self._settings)
        return config.resolved(self._generator.generation_config)

    def is_set(self, name: str) -> bool:
        """Whether the person has set `name`."""
        return name in self._settings

    def messages(self) -> list[dict[str, str]]:
        """The turns as messages of role and content."""
        return [
            {"role": role, "content": content}
            for turn in self.turns
            for role, content in (("user", turn.message), ("assistant", turn.answer))
        ]

    def _ends(self) -> tuple[int, ...]:
        own = self.settings().eos_token_id
        if "eos_token_id" in self._settings and own is not None:
            return own
        theirs = self._generator.eos_token_ids if own is None else own
        return tuple(dict.fromkeys((*theirs, *self._turns.end_ids)))

    def _fitting(self, message: str) -> tuple[list[Turn], list[int]]:
        """The turns that stay, and the prompt: half of the context, where all of it is full.

        Half of it, so that not every turn from then on has to be read again.
        """
        context = self._generator.context_length
        room = context - min(self.settings().max_new_tokens, context // 4)
        kept = list(self.turns)
        ids = self._turns.tokens(kept, message)
        if len(ids) > room:
            while kept and len(ids) > context // 2:
                del kept[0]
                ids = self._turns.tokens(kept, message)
        return kept, self._generator.encode(ids)
