"""Packages of every flavour, and without a tokenizer: what each can be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpt2_edge.generate import Generator
from gpt2_edge.measure.score import score_tokens
from server.served import Serve

IDS = [5, 9, 2, 11, 7, 3]


@pytest.mark.parametrize("flavour", ["fused", "portable", "static"])
def test_token_ids_are_enough(
    serve: Serve, random_package: Callable[..., Path], flavour: str
) -> None:
    generator = Generator.load(random_package(flavour=flavour), threads=1)
    expected = generator.generate(IDS, max_new_tokens=8, do_sample=False)
    with serve(generator, max_rows=2) as server:
        asked = {"prompt": [IDS, IDS], "max_tokens": 8, "temperature": 0}
        answer = server.done("/v1/completions", **asked, return_token_ids=True, logprobs=2)
        for choice in answer["choices"]:
            assert choice["token_ids"] == list(expected.ids)
            assert choice["logprobs"]["tokens"] == [str(token) for token in expected.ids]
            assert choice["text"] == ""
        scores = server.done("/score", prompt=IDS)["tokens"]
        for token, other in zip(scores, score_tokens(generator, IDS), strict=True):
            assert token["rank"] == other.rank
        options = server.done("/next", prompt=IDS, k=3)["options"]
        assert [o["id"] for o in options] == [t.id for t in generator.next_tokens(IDS, 3)]
        model = server.client.get("/model").json()
        assert model["attention"] is (flavour == "fused")
        if flavour == "fused":
            assert server.done("/attention", prompt=IDS)["layers"] == model["layers"]
        else:
            assert "fused" in server.refused(400, "/attention", prompt=IDS)["message"]
        folder = str(generator.package.folder)
        for path, body in (
            ("/v1/completions", {"prompt": "text"}),
            ("/v1/completions", {"prompt": IDS, "stop": "x"}),
            ("/v1/completions", {"prompt": IDS, "regex": "x"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "text"}]}),
            ("/next", {"prompt": "text"}),
            ("/score", {"prompt": "text"}),
            ("/tokenize", {"prompt": "text"}),
            ("/detokenize", {"tokens": IDS}),
        ):
            assert folder not in server.refused(400, path, **body)["message"]
        assert server.log == []


def test_int4_in_a_batch(serve: Serve, sample_int4: Path) -> None:
    generator = Generator.load(sample_int4, threads=1)
    alone = generator.generate_batch(["The old man", "It was"], max_new_tokens=12, do_sample=False)
    with serve(generator, max_rows=2) as server:
        answer = server.done(
            "/v1/completions", prompt=["The old man", "It was"], max_tokens=12, temperature=0
        )
        assert [choice["text"] for choice in answer["choices"]] == [text.text for text in alone]
        groups = {group["name"]: group for group in server.client.get("/model").json()["groups"]}
        assert 4 < groups["attention"]["bits"] < 5.5
        assert 8 < groups["embeddings"]["bits"] < 10
