"""From the arguments of a call to jobs: everything is checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from gpt2_edge.assistant import drafts_of
from gpt2_edge.config import GenerationConfig, Settings, checked_config
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.processors import Processor
from gpt2_edge.decode.request import Criterion, ShouldStop
from gpt2_edge.decode.window import fitted
from gpt2_edge.errors import GenerationError
from gpt2_edge.jobs import Job
from gpt2_edge.model import Model, Prompt
from gpt2_edge.prompt_cache import PromptCache
from gpt2_edge.requests import Extras, RequestMaker
from gpt2_edge.untrusted import shown


class CallSettings(Settings, total=False):
    """Settings, and what else a generation may be given by keyword.

    cache: of Generator.new_cache; of the prompt, only what it does not hold is read. assistant:
    another Generator, small and with the same tokenizer, whose guesses at the next tokens are
    checked several at a time. logits_processor: functions (ids, logits [vocab]) -> logits, called
    for every token behind those of the settings; pure in both. stopping_criteria: functions
    (ids) -> whether the text ends here.
    """

    cache: PromptCache | None
    assistant: Model | None
    logits_processor: Sequence[Processor] | None
    stopping_criteria: Sequence[Criterion] | None


CALL_ARGUMENTS = ("cache", "assistant", "logits_processor", "stopping_criteria")


def make_jobs(
    model: Model,
    prompts: Sequence[Prompt],
    config: GenerationConfig | Sequence[GenerationConfig] | None,
    should_stop: ShouldStop | None,
    settings: Mapping[str, Any],
) -> list[Job]:
    """Each prompt with its settings, all checked before anything is computed."""
    # A mapping or a set would give its keys, or an order of its own.
    unordered = isinstance(prompts, (str, bytes, bytearray, memoryview, Mapping, Set))
    if unordered or not hasattr(prompts, "__len__") or getattr(prompts, "ndim", 1) == 0:
        raise GenerationError(f"prompts is {shown(prompts)}; give a list of prompts")
    configs = [config] * len(prompts) if not isinstance(config, (list, tuple)) else config
    if len(configs) != len(prompts):
        raise GenerationError(
            f"there are {len(configs)} configs for {len(prompts)} prompts; give one for each"
        )
    return [
        make_job(model, prompt, each, should_stop, settings)
        for prompt, each in zip(prompts, configs, strict=True)
    ]


def make_job(
    model: Model,
    prompt: Prompt,
    config: GenerationConfig | None,
    should_stop: ShouldStop | None,
    settings: Mapping[str, Any],
) -> Job:
    named = {name: value for name, value in settings.items() if name not in CALL_ARGUMENTS}
    effective = checked_config(config, named).resolved(model.generation_config)
    ids = model.prompt_ids(prompt)
    if effective.context_overflow == "slide":
        ids = fitted(ids, model.context_length, effective.keep)
    model.check_fits(ids)
    assistant = settings.get("assistant")
    extras = Extras(
        should_stop=_functions("should_stop", should_stop, single=True)[0],
        logits_processor=_functions("logits_processor", settings.get("logits_processor")),
        stopping_criteria=_functions("stopping_criteria", settings.get("stopping_criteria")),
        drafter=None if assistant is None else drafts_of(assistant, model),
    )
    maker = RequestMaker(
        ids, effective, model.tokenizer, model.eos_token_ids, model.vocab_size, extras
    )
    return Job(ids, effective, maker)


def decoder_of(model: Model, jobs: Sequence[Job], settings: Mapping[str, Any]) -> Decoder | None:
    """That of the cache that was given."""
    cache = settings.get("cache")
    if cache is None:
        return None
    decoder = checked_cache(model, cache).decoder
    if any(job.config.num_beams > 1 for job in jobs):
        raise GenerationError("a cache holds one text; leave out num_beams, or the cache")
    return decoder


def checked_cache(model: Model, cache: Any) -> PromptCache:
    """`cache`, if it is one of this model's."""
    if not isinstance(cache, PromptCache) or cache.session is not model.session:
        raise GenerationError(
            f"cache is {shown(cache)}; make one with this generator's new_cache or load_cache"
        )
    return cache


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
