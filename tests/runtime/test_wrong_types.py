"""What is no setting, prompt, file or answer of a callback: one line that says what it should be.

Whatever a caller gives, what comes out is a GPT2EdgeError and not what Python or NumPy made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import (
    ContextOverflowError,
    GenerationConfig,
    GenerationError,
    Generator,
    PackageError,
    ProviderError,
    perplexity,
    score_tokens,
    text_perplexity,
)
from gpt2_edge.text.chat import turns_of
from helpers import assert_one_line

ARRAY = np.array([1, 2])
WRONG: dict[str, Any] = {
    "array": ARRAY,
    "no array": np.array([]),
    "objects": np.array([None, 1], object),
    "texts": np.array(["a"]),
    "matrix": np.array([[1, 2]]),
    "iterator": iter([1]),
    "function": len,
    "float": 1.5,
    "truth": True,
    "text": "x",
    "bytes": b"x",
    "dict": {"a": 1},
    "set": {1},
    "enormous": 10**5000,
    "negative": -1,
}


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.fixture(params=WRONG.values(), ids=WRONG)
def wrong(request: pytest.FixtureRequest) -> Any:
    return request.param


def refused(call: Callable[[], object], *fragments: str, error: Any = GenerationError) -> None:
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    assert_one_line(raised.value, *fragments)


@pytest.mark.parametrize("name", [name for name in WRONG if name != "enormous"])
def test_what_is_no_length_of_a_cache(fp32: Generator, name: str) -> None:
    refused(lambda: fp32.new_cache().trim(WRONG[name]), "length is", "whole number")


@pytest.mark.parametrize("name", [name for name in WRONG if name not in ("array", "no array")])
def test_what_is_no_list_of_ids(fp32: Generator, name: str) -> None:
    refused(lambda: fp32.check_fits(WRONG[name]), "ids", "flat sequence of token ids")


@pytest.mark.parametrize("name", [name for name in WRONG if name != "truth"])
def test_what_is_neither_true_nor_false(fp32: Generator, sample_fp32: Path, name: str) -> None:
    given = WRONG[name]
    calls: dict[str, Callable[[], object]] = {
        "add_special_tokens": lambda: fp32.encode([5], add_special_tokens=given),
        "parse_special": lambda: fp32.encode("He", parse_special=given),
        "verify": lambda: Generator.load(sample_fp32, verify=given),
        "machine_cache": lambda: Generator.load(sample_fp32, machine_cache=given),
    }
    calls |= {
        f"bos{number}": call
        for number, call in enumerate(
            (
                lambda: score_tokens(fp32, [5, 6], given),
                lambda: perplexity(fp32, [5, 6], bos=given),
                lambda: text_perplexity(fp32, "He said", bos=given),
            )
        )
    }
    for argument, call in calls.items():
        refused(call, f"{argument.rstrip('012')} is", "must be True or False")
    assert fp32.tokenizer is not None
    tokenizer = fp32.tokenizer
    refused(lambda: turns_of(fp32.package, tokenizer, parse_special=given), "parse_special is")


@pytest.mark.parametrize("name", ["layer", "head"])
def test_what_is_no_layer_and_no_head(fp32: Generator, wrong: Any, name: str) -> None:
    refused(lambda: fp32.attention([5, 6], **{name: wrong}), f"{name} is", "must be from 0")


def test_what_is_no_package_of_settings(fp32: Generator, wrong: Any) -> None:
    refused(lambda: fp32.with_config(wrong), "config is")
    refused(lambda: GenerationConfig().resolved(wrong), "config is")


@pytest.mark.parametrize("name", [name for name in WRONG if name != "dict"])
def test_what_is_no_mapping_of_settings(name: str) -> None:
    refused(lambda: GenerationConfig.from_json(WRONG[name]), "the settings are")
    refused(lambda: GenerationConfig().updated(WRONG[name]), "the settings are")


def test_a_setting_whose_name_is_no_text() -> None:
    refused(lambda: GenerationConfig().updated({(1, 2): 3}), "there is no setting (1, 2)")


@pytest.mark.parametrize("name", [name for name in WRONG if name != "text"])
def test_what_is_no_path(fp32: Generator, name: str) -> None:
    path, cache = WRONG[name], fp32.new_cache()
    for call in (cache.check_save, cache.save, fp32.load_cache):
        refused(lambda call=call: call(path), "path is", "that of a file")  # type: ignore[misc]
    refused(lambda: Generator.load(path), "path is", "that of a folder", error=PackageError)


def test_what_is_no_provider(sample_fp32: Path, wrong: Any) -> None:
    load = Generator.load
    refused(
        lambda: load(sample_fp32, provider=wrong), "provider", "is not one", error=ProviderError
    )
    refused(lambda: load(sample_fp32, prompt_weights=wrong), "prompt_weights is")


@pytest.mark.parametrize("name", [name for name in WRONG if name != "dict"])
def test_what_is_no_mapping_of_provider_options(sample_fp32: Path, name: str) -> None:
    def load() -> object:
        return Generator.load(sample_fp32, provider="cpu", provider_options=WRONG[name])

    refused(load, "provider_options is", "give a dict", error=ProviderError)


def test_what_is_no_list_of_prompts(fp32: Generator) -> None:
    for prompts in ({"a": 1}, {"a"}, np.array(3), memoryview(b"ab"), None, iter(["a"])):
        refused(lambda prompts=prompts: fp32.generate_batch(prompts), "prompts is")  # type: ignore[misc]


def test_what_a_cache_cannot_be_asked_for(fp32: Generator) -> None:
    cache = fp32.new_cache()
    for ids in ([], "ab", [1.5], [True], [-1], [fp32.vocab_size], {1: 1}, iter([1]), None):
        with pytest.raises(GenerationError) as raised:
            cache.logits_after(ids)  # type: ignore[arg-type]
        assert_one_line(raised.value)
    refused(
        lambda: cache.logits_after([5] * (fp32.context_length + 1)),
        "shorten it",
        error=ContextOverflowError,
    )
    assert len(cache) == 0
    assert cache.logits_after(np.array([5, 6])).shape == (fp32.vocab_size,)


RETURNED: dict[str, Any] = {
    "nothing": lambda logits: None,
    "an id": lambda logits: 5,
    "a list": lambda logits: logits.tolist(),
    "too few": lambda logits: logits[:3],
    "none": lambda logits: logits[:0],
    "one more dimension": lambda logits: logits[None],
    "whole numbers": lambda logits: logits.astype(int),
    "texts": lambda logits: logits.astype(str),
    "objects": lambda logits: logits.astype(object),
    "an iterator": iter,
}


@pytest.mark.parametrize("make", RETURNED.values(), ids=RETURNED)
@pytest.mark.parametrize("beams", [1, 2])
def test_a_processor_that_returns_no_logits(fp32: Generator, make: Any, beams: int) -> None:
    def call() -> object:
        processors = [lambda ids, logits: make(logits)]
        return fp32.generate([5], logits_processor=processors, max_new_tokens=2, num_beams=beams)

    refused(call, "a logits_processor returned", f"[{fp32.vocab_size}]")


def test_a_processor_may_return_other_floats(fp32: Generator) -> None:
    plain = fp32.generate([5], max_new_tokens=3)
    wide = fp32.generate(
        [5], max_new_tokens=3, logits_processor=[lambda ids, logits: logits.astype(np.float64)]
    )
    assert plain.ids == wide.ids


def test_a_callback_that_does_not_say_whether_to_stop(fp32: Generator) -> None:
    refused(lambda: fp32.generate([5], None, lambda: ARRAY), "should_stop returned", "whether")  # type: ignore[arg-type, return-value]
    refused(
        lambda: fp32.generate([5], stopping_criteria=[lambda ids: ARRAY]),  # type: ignore[list-item, return-value]
        "a stopping criterion returned",
        "whether",
    )


def test_a_value_that_has_no_repr() -> None:
    refused(lambda: GenerationConfig(top_k=Unspeakable()), "top_k is <Unspeakable>")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["logit_bias", "sequence_bias"])
def test_a_token_id_of_thousands_of_digits(fp32: Generator, name: str) -> None:
    refused(lambda: GenerationConfig(**{name: {"1" * 5000: 1.0}}), f"{name} is")
    refused(lambda: fp32.generate([5], **{name: {10**5000: 1.0}}), f"{name}", "has token id <int>")


@pytest.mark.parametrize("name", ["suppress_tokens", "begin_suppress_tokens", "eos_token_id"])
def test_an_enormous_token_id(fp32: Generator, name: str) -> None:
    refused(lambda: fp32.generate([5], **{name: [10**5000]}), f"{name} has token id <int>")


@pytest.mark.parametrize(
    "settings",
    [
        {"logit_bias": {5: 1e39}},
        {"sequence_bias": {(6, 5): 1e308}},
        {"repetition_penalty": 1e-300},
        {"frequency_penalty": -1e300, "max_new_tokens": 4},
        {"logits_processor": [lambda ids, logits: logits * np.float32(np.nan)]},
    ],
    ids=str,
)
def test_settings_beyond_what_a_logit_holds_are_not_the_models_fault(
    fp32: Generator, settings: dict[str, Any]
) -> None:
    refused(
        lambda: fp32.generate([5, 6], **settings),
        "the settings of this generation make logits that are not numbers",
        "smaller biases or penalties",
    )


@pytest.mark.parametrize("penalty", [1e300, 1e10, -1e300, 10**30])
@pytest.mark.parametrize("early", [True, False, "never"])
def test_length_penalties_beyond_what_a_float_holds(
    fp32: Generator, penalty: float, early: bool | str
) -> None:
    found = fp32.generate(
        [5, 6], max_new_tokens=4, num_beams=2, length_penalty=penalty, early_stopping=early
    )
    assert 1 <= len(found.ids) <= 4


@pytest.mark.parametrize("wrong_bytes", [ARRAY, "x", 1.5, iter([1])])
def test_what_is_no_number_of_bytes(fp32: Generator, wrong_bytes: Any) -> None:
    refused(lambda: perplexity(fp32, [5, 6], text_bytes=wrong_bytes), "text_bytes is")


def ended(*_: object) -> Any:
    return next(iter([]))


@pytest.mark.parametrize(
    "functions",
    [{"logits_processor": [ended]}, {"stopping_criteria": [ended]}, {"should_stop": ended}],
    ids=str,
)
def test_a_function_that_raises_stop_iteration_ends_no_text_as_if_all_were_well(
    fp32: Generator, functions: dict[str, Any]
) -> None:
    for call in (fp32.stream, fp32.tokens, fp32.events):
        with pytest.raises(GenerationError, match="raised StopIteration"):
            list(call([5], max_new_tokens=3, **functions))  # type: ignore[operator]
    with pytest.raises(GenerationError, match="raised StopIteration"):
        fp32.generate_batch([[5], [6]], max_new_tokens=3, **functions)


def test_functions_cannot_change_the_text(fp32: Generator) -> None:
    def change(ids: list[int]) -> bool:
        ids.clear()
        return False

    def process(ids: list[int], logits: Any) -> Any:
        ids.append(5)
        return logits

    plain = fp32.generate([5, 6], max_new_tokens=4).ids
    found = fp32.generate(
        [5, 6],
        max_new_tokens=4,
        logits_processor=[process],  # type: ignore[list-item]
        stopping_criteria=[change],  # type: ignore[list-item]
    )
    assert found.ids == plain


@pytest.mark.parametrize("number", [2, -1, "x", 1.5, None])
def test_what_is_no_number_of_a_prompt(fp32: Generator, number: Any) -> None:
    with fp32.stream_batch([[5], [6]], max_new_tokens=1) as batch:
        list(batch)
    refused(lambda: batch.result(number), "number is", "there are 2 prompts")
