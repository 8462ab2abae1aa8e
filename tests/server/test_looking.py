"""Tokens, the next one, scores and attention, as the page asks for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gpt2_edge.config import GenerationConfig
from gpt2_edge.generate import Generator
from gpt2_edge.measure.score import score_tokens
from gpt2_edge.sampling import make_chooser
from server.served import Serve, Served

TEXT = "The caf\u00e9 \U0001f600 was old"


def utf16(text: str) -> list[str]:
    """`text` as JavaScript sees it: one item for each code unit."""
    content = text.encode("utf-16-le")
    return [
        content[at : at + 2].decode("utf-16-le", "surrogatepass")
        for at in range(0, len(content), 2)
    ]


def whole(units: list[str]) -> str:
    return "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def test_tokenize_and_back(server: Served, generator: Generator) -> None:
    answer = server.done("/tokenize", prompt=TEXT)
    ids = generator.encode(TEXT)
    assert answer == {
        "count": len(ids), "max_model_len": 512, "tokens": ids, "dropped_chars": 0
    }  # fmt: skip
    assert server.done("/detokenize", tokens=ids) == {"prompt": TEXT}
    labels = server.done("/tokenize", prompt=TEXT, return_token_strs=True)["token_strs"]
    assert labels == [generator.token_label(token) for token in ids]
    assert server.done("/tokenize", prompt="")["count"] == 0
    special = server.done("/tokenize", prompt="<|endoftext|>", parse_special=True)
    assert special["tokens"] == [0]
    assert server.done("/tokenize", prompt="<|endoftext|>")["count"] > 1


def test_what_does_not_fit_is_counted_in_code_units(server: Served, generator: Generator) -> None:
    text = "\U0001f600 and so on. " * 200
    dropped = server.done("/tokenize", prompt=text)["dropped_chars"]
    assert 0 < dropped < len(utf16(text))
    kept = whole(utf16(text)[dropped:])
    assert 0 <= generator.context_length - generator.count_tokens(kept) < 4
    assert kept.startswith(" and")  # the face's first byte did not fit, so none of it is used
    for path in ("/next", "/score"):
        assert server.done(path, prompt=text)["dropped_chars"] == dropped


def test_next(server: Served, generator: Generator) -> None:
    answer = server.done("/next", prompt="The old", k=7)
    expected = generator.next_tokens("The old", 7)
    assert [option["id"] for option in answer["options"]] == [token.id for token in expected]
    for option, token in zip(answer["options"], expected, strict=True):
        assert option["text"] == token.text
        assert option["probability"] == pytest.approx(token.probability, abs=1e-6)
        assert option["drawn"] == pytest.approx(token.probability, abs=1e-6)
    assert answer["draw"] is None
    assert answer["dropped_chars"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.5},
        {"top_k": 3},
        {"top_p": 0.3},
        {"min_p": 0.2},
        {"temperature": 1.7, "top_k": 50, "top_p": 0.8, "min_p": 0.02},
        {"temperature": 0},
        {"temperature": 0.01},
    ],
)
def test_next_under_settings(
    server: Served, generator: Generator, settings: dict[str, Any]
) -> None:
    answer = server.done("/next", prompt="The old", k=1000, seed=4, **settings)
    logits = generator.logits("The old")[-1].astype(np.float64)
    order = np.argsort(-logits, kind="stable")
    # What the settings do, anew and by their definitions.
    temperature = settings.get("temperature", 1.0)
    weights = np.exp((logits[order] - logits[order[0]]) / (temperature or 1e-9))
    if "top_k" in settings:
        weights[settings["top_k"] :] = 0
    probabilities = weights / weights.sum()
    if "top_p" in settings:
        weights[np.cumsum(probabilities) - probabilities >= settings["top_p"]] = 0
    if "min_p" in settings:
        weights[weights < settings["min_p"]] = 0
    expected = (weights / weights.sum())[:1000]
    assert [option["id"] for option in answer["options"]] == order[:1000].tolist()
    drawn = np.array([option["drawn"] for option in answer["options"]])
    assert drawn == pytest.approx(expected, abs=1e-6)
    assert np.all(drawn[expected == 0] == 0)  # what is cut is nothing, not little
    resolved = GenerationConfig(temperature=temperature, **{
        "top_k": 0, **{k: v for k, v in settings.items() if k != "temperature"}
    }).resolved()  # fmt: skip
    assert answer["draw"]["id"] == make_chooser(resolved, 4)(logits.astype(np.float32), 0)


def test_one_more_token_reads_one_token(serve: Serve, generator: Generator) -> None:
    ids = generator.encode("The old man turned to the door and said nothing at all to her")
    with serve(max_rows=2) as server:
        for end in range(8, len(ids) + 1):
            server.done("/next", prompt=ids[:end])
        lines = server.client.get("/metrics").text.splitlines()
        (cached,) = (line for line in lines if 'kind="cached"' in line and "total" in line)
        # Each prompt behind the first found all but its last token.
        assert float(cached.split()[-1]) == sum(range(8, len(ids)))


def test_score(server: Served, generator: Generator) -> None:
    answer = server.done("/score", prompt=TEXT, alternatives=4)
    expected = score_tokens(generator, generator.encode(TEXT))
    assert len(answer["tokens"]) == len(expected)
    units = utf16(TEXT)
    for token, other in zip(answer["tokens"], expected, strict=True):
        assert (token["id"], token["text"], token["rank"]) == (other.id, other.text, other.rank)
        assert token["logprob"] == pytest.approx(other.logprob, abs=1e-5)
        if "\ufffd" not in token["text"]:
            assert whole(units[token["start"] : token["end"]]) == token["text"]
    face = [token for token in answer["tokens"] if "\ufffd" in token["text"]]
    assert {whole(units[token["start"] : token["end"]]) for token in face} == {"\U0001f600"}
    for token in answer["tokens"][1:]:
        likeliest = token["alternatives"]
        assert len(likeliest) == 4
        assert likeliest == sorted(likeliest, key=lambda option: -option["logprob"])
        if token["rank"] <= 4:
            assert likeliest[token["rank"] - 1]["id"] == token["id"]
    logprobs = [token["logprob"] for token in answer["tokens"][1:]]
    assert answer["perplexity"] == pytest.approx(math.exp(-sum(logprobs) / len(logprobs)))


def test_score_of_hardly_anything(server: Served) -> None:
    assert server.done("/score", prompt="") == {
        "tokens": [], "perplexity": None, "dropped_chars": 0
    }  # fmt: skip
    answer = server.done("/score", prompt=[5])
    assert answer["perplexity"] is None
    (token,) = answer["tokens"]
    assert (token["id"], token["start"], token["logprob"], token["rank"]) == (5, None, None, None)


def test_attention(server: Served, generator: Generator) -> None:
    ids = generator.encode(TEXT)
    answer = server.done("/attention", prompt=TEXT)
    expected = generator.attention(ids)
    assert (answer["layers"], answer["heads"]) == expected.shape[:2]
    assert [token["id"] for token in answer["tokens"]] == ids
    for layer, heads in enumerate(answer["attention"]):
        for head, rows in enumerate(heads):
            for query, row in enumerate(rows):
                assert len(row) == query + 1
                assert row == pytest.approx(expected[layer, head, query, : query + 1], abs=6e-6)
    one = server.done("/attention", prompt=TEXT, layer=2, head=1)
    assert one["attention"] == [[answer["attention"][2][1]]]
    assert "layer" in server.refused(400, "/attention", prompt=TEXT, layer=6)["message"]


def test_attention_of_a_long_text_is_cut(
    server: Served, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpt2_edge_server.attention as module

    assert module.most_tokens(144) == 235  # GPT-2 124M: 144 * 235 * 236 / 2 = 3,993,120
    assert module.most_tokens(10**9) == 1
    text = " and".join("abcdefgh") * 200
    answer = server.done("/attention", prompt=text, layer=0, head=0)
    assert len(answer["tokens"]) == min(module.most_tokens(24), generator.context_length)
    assert answer["dropped_chars"] == answer["tokens"][0]["start"] > 0


def test_ids_have_no_ranges(server: Served, generator: Generator) -> None:
    ids = generator.encode(TEXT)
    for path in ("/score", "/attention"):
        tokens = server.done(path, prompt=ids)["tokens"]
        assert all(token["start"] is None is token["end"] for token in tokens)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {}),
        ("/tokenize", {"prompt": [1]}),
        ("/detokenize", {"tokens": [999999]}),
        ("/detokenize", {"tokens": [-1]}),
        ("/next", {"prompt": "a", "k": 0}),
        ("/next", {"prompt": "a", "temperature": -1}),
        ("/next", {"prompt": [999999]}),
        ("/score", {"prompt": "a", "alternatives": 21}),
        ("/attention", {"prompt": "a", "head": -1}),
    ],
)
def test_what_is_refused(server: Served, path: str, body: dict[str, Any]) -> None:
    assert server.refused(400, path, **body)["type"] == "invalid_request_error"
