"""A loaded package: its model and tokenizer, and prompts as token ids that the model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_edge.config import GENERATION_CONFIG_FILE, GenerationConfig, checked_config
from gpt2_edge.errors import ContextOverflowError, GenerationError, PackageError
from gpt2_edge.files.machine_cache import MachineCache
from gpt2_edge.files.manifest import Manifest
from gpt2_edge.files.package import Package, open_package
from gpt2_edge.graph.background import Beside
from gpt2_edge.graph.providers import AUTO
from gpt2_edge.graph.session import Session
from gpt2_edge.prompts import check_vocabulary, require_text, token_ids
from gpt2_edge.text.tokenizer import Tokenizer, package_tokenizer
from gpt2_edge.untrusted import shown
from gpt2_edge.values import switch

if TYPE_CHECKING:
    from typing_extensions import Self

Prompt = str | Sequence[int]
PROMPT_WEIGHTS = ("auto", "off")


class Model:
    """What Generator is built on.

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
        self.generation_config = checked_config(generation_config, {})

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        provider: str = AUTO,
        provider_options: Mapping[str, str] | None = None,
        threads: int | None = None,
        verify: bool = True,
        machine_cache: bool = True,
        prompt_weights: str = "auto",
    ) -> Self:
        """Load the package in the folder `path`.

        Args:
            path: the folder that an export wrote.
            provider: ONNX Runtime's execution provider, one of PROVIDERS, or "auto" for the best
                that is installed and takes this graph, in the end the CPU.
            provider_options: what ONNX Runtime documents for the provider that is named.
            threads: of ONNX Runtime on the CPU, and of providers that have their own there; None
                takes one per physical core.
            verify: compare the SHA-256 of the files with the manifest.
            machine_cache: on the CPU, with `verify`, run the form of the package that this machine
                has made of it, and make one the first time; the tokens are the same
                (docs/PACKAGE.md says where it lies).
            prompt_weights: "auto" reads prompts with the 8-bit weights that `gpt2-edge optimize`
                has put there, if it has: about twice as fast in int4, and with another rounding;
                "off" does not.

        Raises:
            PackageError: the folder is no package, or is damaged.
            ProviderError: the provider is not installed, takes nothing of the graph or has no such
                option.
            GenerationError: verify, machine_cache or prompt_weights is none of what it may be.
        """
        return cls(
            *load_parts(
                path, provider, provider_options, threads, verify, machine_cache, prompt_weights
            )
        )

    @property
    def fallback_reason(self) -> str | None:
        """Why provider "auto" took a later choice than its first; None if it did not."""
        return self.session.fallback_reason

    def with_config(self, config: GenerationConfig | None = None) -> Self:
        """The same loaded package with other settings of its own; both share the model in memory.

        Args:
            config: in place of what the package's file sets; None: nothing.
        """
        return type(self)(self.package, self.session, self.tokenizer, config)

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

    def encode(
        self, prompt: Prompt, *, add_special_tokens: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of `prompt`, checked to be in the vocabulary and to fit the context.

        Args:
            prompt: text, or token ids.
            add_special_tokens: with those that the tokenizer puts around a text; GPT-2's has none.
            parse_special: special tokens written out in the text count as such; False takes them
                for ordinary text, as is right for text from strangers.

        Raises:
            GenerationError: there is no tokenizer, or an id is not in the vocabulary.
            ContextOverflowError: the prompt does not fit.
        """
        ids = self.prompt_ids(prompt, add_special_tokens, parse_special)
        self.check_fits(ids)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens.

        Args:
            ids: token ids of the vocabulary.

        Raises:
            GenerationError: these are no token ids, or the package has no tokenizer.
        """
        checked = check_vocabulary(token_ids(ids, "ids", takes=""), self.vocab_size)
        return self._with_tokenizer("its token ids are all there is").decode(checked)

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has as a prompt.

        Args:
            text: of any length.

        Raises:
            GenerationError: the package has no tokenizer.
        """
        return len(self._with_tokenizer("it takes no text").encode(require_text(text)))

    def token_label(self, token_id: int) -> str:
        """A token as text for people; without a tokenizer, its number.

        Args:
            token_id: one of the vocabulary.
        """
        (checked,) = check_vocabulary(token_ids([token_id], "token_id", ""), self.vocab_size)
        return self.tokenizer.label(checked) if self.tokenizer else str(checked)

    def prompt_ids(
        self, prompt: Prompt, add_special_tokens: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of a prompt, one or more of the vocabulary, however many.

        Args:
            prompt: text, or token ids.
            add_special_tokens: as in `encode`.
            parse_special: as in `encode`.

        Raises:
            GenerationError: as from `encode`.
        """
        special = switch(add_special_tokens, "add_special_tokens")
        parsed = switch(parse_special, "parse_special")
        if isinstance(prompt, str):
            ids = self._with_tokenizer("give the prompt as token ids").encode(
                prompt, add_special_tokens=special, parse_special=parsed
            )
        else:
            ids = token_ids(prompt)
        if not ids:
            raise GenerationError(
                "the prompt is empty; give at least one token (to write from nothing, "
                "'<|endoftext|>' in most GPT-2 vocabularies)"
            )
        return check_vocabulary(ids, self.vocab_size)

    def check_fits(self, ids: list[int]) -> None:
        """Raise ContextOverflowError unless the context holds the tokens.

        Args:
            ids: the prompt's.
        """
        if len(token_ids(ids, "ids", takes="")) > self.context_length:
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


def _generation_config(package: Package) -> GenerationConfig:
    """What the package's own generation_config.json sets."""
    if GENERATION_CONFIG_FILE not in package.manifest.files:
        return GenerationConfig()
    try:
        return GenerationConfig.from_pretrained(package.folder)
    except GenerationError as error:
        raise PackageError(f"{error}; mend it in the checkpoint and export that again") from error


def load_parts(
    path: str | Path,
    provider: str = AUTO,
    provider_options: Mapping[str, str] | None = None,
    threads: int | None = None,
    verify: bool = True,
    machine_cache: bool = True,
    prompt_weights: str = "auto",
) -> tuple[Package, Session, Tokenizer | None, GenerationConfig]:
    """What a Model is made of; arguments and errors are those of `Model.load`."""
    if not isinstance(prompt_weights, str) or prompt_weights not in PROMPT_WEIGHTS:
        raise GenerationError(
            f"prompt_weights is {shown(prompt_weights)}; it must be {' or '.join(PROMPT_WEIGHTS)}"
        )
    checks, caches = switch(verify, "verify"), switch(machine_cache, "machine_cache")
    package = open_package(path)
    # Both take a while, and the session leaves Python to the tokenizer. It compares the hashes of
    # everything that is read here; its errors come first.
    tokenizers: list[Tokenizer | None] = []
    tokenizer = Beside(lambda: tokenizers.append(package_tokenizer(package, checks)))
    session = Session(
        package,
        provider=provider,
        provider_options=provider_options,
        threads=threads,
        verify=checks,
        cache=MachineCache.default() if caches else None,
        prompt_weights=prompt_weights == "auto",
    )
    tokenizer.result()
    return package, session, tokenizers[0], _generation_config(package)
