"""What is shown: the tokens of a text, and the weights of the layers and heads asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gpt2_edge.generate import Generator
    from gpt2_edge.model import Prompt

_PART = "\ufffd"  # what a part of a character is decoded to
_BEGUN = "·"  # stands for it: the token at which the character ends has its text


@dataclass(frozen=True)
class View:
    """A text's attention.

    name: the package's. ids, texts: of the tokens. all_weights [layers, heads, tokens, tokens]: of
    every layer and head. layer, head: those that were asked for, None for the mean of all.
    """

    name: str
    ids: list[int]
    texts: list[str]
    all_weights: npt.NDArray[np.float32]
    layer: int | None
    head: int | None

    @property
    def layers(self) -> int:
        return int(self.all_weights.shape[0])

    @property
    def heads(self) -> int:
        return int(self.all_weights.shape[1])

    @property
    def chosen(self) -> npt.NDArray[np.float32]:
        """Of the layers and heads asked for: [layers, heads, tokens, tokens], 1 where one was."""
        layers = slice(None) if self.layer is None else slice(self.layer, self.layer + 1)
        heads = slice(None) if self.head is None else slice(self.head, self.head + 1)
        return self.all_weights[layers, heads]

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Their mean: [tokens, tokens]."""
        mean: npt.NDArray[np.float32] = self.chosen.mean((0, 1))
        return mean

    @property
    def what(self) -> str:
        """Which weights these are, in words."""
        if self.layer is None and self.head is None:
            return f"mean of {self.layers} layers with {self.heads} heads each"
        if self.head is None:
            return f"layer {self.layer}, mean of {self.heads} heads"
        if self.layer is None:
            return f"head {self.head}, mean of {self.layers} layers"
        return f"layer {self.layer}, head {self.head}"


def make_view(generator: Generator, prompt: Prompt, layer: int | None, head: int | None) -> View:
    """The attention within `prompt`; errors as of Generator.attention, and for layer and head."""
    architecture = generator.manifest.architecture
    for name, value, count in (
        ("layer", layer, architecture.num_layers),
        ("head", head, architecture.num_heads),
    ):
        if value is not None and not 0 <= value < count:
            raise GenerationError(
                f"--{name} is {shown(value)}; this model has {name}s 0 to {count - 1}"
            )
    ids = generator.encode(prompt)
    weights = generator.attention(ids)
    return View(generator.name, ids, token_texts(generator, ids), weights, layer, head)


def token_texts(generator: Generator, ids: Sequence[int]) -> list[str]:
    """What each token stands for in the text; a number where the package has no tokenizer.

    Of tokens that make a character together, the last has it.
    """
    tokenizer = generator.tokenizer
    if tokenizer is None:
        return [f" {token_id}" if i else str(token_id) for i, token_id in enumerate(ids)]
    texts = [generator.token_label(token_id) for token_id in ids]
    stream: Any = None
    for number, token_id in enumerate(ids):
        if _PART not in texts[number]:
            stream = None
            continue
        stream = stream or tokenizer.stream()
        ends = number + 1 == len(ids) or _PART not in texts[number + 1]
        texts[number] = (stream.push(token_id) + (stream.finish() if ends else "")) or _BEGUN
    return texts


def find_token(view: View, number: int | None, word: str | None) -> int:
    """The token that is asked for by its number (from the end where negative) or its text.

    The last one where neither is given. Raises GenerationError where there is none.
    """
    count = len(view.ids)
    if number is not None and word is not None:
        raise GenerationError("give --token or --word, not both")
    if number is not None:
        if not -count <= number < count:
            raise GenerationError(
                f"--token is {shown(number)}; this text has tokens 0 to {count - 1}"
            )
        return number % count
    if word is None:
        return count - 1
    found = [i for i, text in enumerate(view.texts) if text.strip() == word.strip()]
    if not found:
        texts = ", ".join(shown(text.strip(), 20) for text in view.texts[-8:])
        raise GenerationError(
            f"no token of the text is {shown(word)}; the last are {texts} (a word may be several "
            "tokens; --token N takes any)"
        )
    return found[-1]
