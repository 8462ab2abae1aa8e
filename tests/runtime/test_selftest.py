"""The self-test finds what differs from what the exporting machine computed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gpt2_edge import Generator
from gpt2_edge.files.manifest import SelfTest
from gpt2_edge.files.package import Package
from gpt2_edge.measure.selftest import run_self_test


def problems(generator: Generator, test: SelfTest | None) -> list[str]:
    manifest = dataclasses.replace(generator.manifest, self_test=test)
    package = Package(generator.package.folder, manifest)
    return run_self_test(Generator(package, generator.session, generator.tokenizer))


def changed(generator: Generator, **changes: Any) -> SelfTest:
    assert generator.manifest.self_test is not None
    return dataclasses.replace(generator.manifest.self_test, **changes)


def test_a_package_passes_its_own_self_test(generator: Generator) -> None:
    assert generator.manifest.self_test is not None
    assert len(generator.manifest.self_test.expected_ids) > 3
    assert run_self_test(generator) == []


def test_another_token_is_a_problem(generator: Generator) -> None:
    test = generator.manifest.self_test
    assert test is not None
    other = (*test.expected_ids[:-1], test.expected_ids[-1] ^ 1)
    (problem,) = problems(generator, dataclasses.replace(test, expected_ids=other))
    assert problem == f"greedy tokens are {list(test.expected_ids)}; expected {list(other)}"


@pytest.mark.parametrize("shift", [1.5, -1.5, float("nan")])
def test_a_logit_out_of_tolerance_is_a_problem(fp32: Generator, shift: float) -> None:
    test = fp32.manifest.self_test
    assert test is not None
    token_id, logit = next(iter(test.logits.items()))
    expected = logit + shift * test.tolerance
    (problem,) = problems(fp32, changed(fp32, logits={token_id: expected}))
    assert problem.startswith(f"logit of token {token_id} is ")


def test_a_logit_within_tolerance_is_none(fp32: Generator) -> None:
    test = fp32.manifest.self_test
    assert test is not None
    shifted = {token: logit + 0.5 * test.tolerance for token, logit in test.logits.items()}
    assert problems(fp32, changed(fp32, logits=shifted)) == []


def test_a_manifest_without_a_self_test(fp32: Generator) -> None:
    assert problems(fp32, None) == ["the manifest has no self-test"]
