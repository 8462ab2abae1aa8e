"""What the page looks at: tokens, the next one, how likely a text is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from gpt2_edge.calls import make_job
from gpt2_edge.config import EffectiveSettings, GenerationConfig
from gpt2_edge.decode.request import SingleText
from gpt2_edge.measure.scores import exponential
from gpt2_edge.sampling import (
    Logits,
    candidates,
    greedy,
    largest,
    log_probabilities,
    make_chooser,
    min_p_truncation,
    top_p_truncation,
)
from gpt2_edge_server.bodies import DetokenizeBody, NextBody, ScoreBody, TokenizeBody
from gpt2_edge_server.errors import refused, shutting_down
from gpt2_edge_server.exchange import Exchange
from gpt2_edge_server.pool import Gone
from gpt2_edge_server.prompts import Encoded, begun, encoded, token_records
from gpt2_edge_server.scoring import predicted
from gpt2_edge_server.service import Service

_TOKENIZE = msgspec.json.Decoder(TokenizeBody)
_DETOKENIZE = msgspec.json.Decoder(DetokenizeBody)
_NEXT = msgspec.json.Decoder(NextBody)
_SCORE = msgspec.json.Decoder(ScoreBody)


class Looking:
    """Handlers that write nothing."""

    def __init__(self, service: Service) -> None:
        self._service, self._model = service, service.generator

    async def tokenize(self, exchange: Exchange) -> None:
        """POST /tokenize."""
        body = exchange.body(_TOKENIZE)
        self._service.check_model(body.model)
        model = self._model
        if model.tokenizer is None:
            raise refused("this model has no tokenizer", "prompt")
        tokenizer = model.tokenizer

        def work(gone: Gone) -> bytes:
            ids, ranges = tokenizer.encode_with_ranges(
                body.prompt,
                add_special_tokens=body.add_special_tokens,
                parse_special=body.parse_special,
            )
            kept = Encoded(ids, ranges).last(model.context_length)
            answer: dict[str, Any] = {
                "count": len(ids),
                "max_model_len": model.context_length,
                "tokens": ids,
                "dropped_chars": _code_units(body.prompt[: kept.dropped]),
            }
            if body.return_token_strs:
                answer["token_strs"] = [model.token_label(token) for token in ids]
            return msgspec.json.encode(answer)

        # At most a token for each of its bytes, and of a token its id and its text.
        with self._service.held.bytes(16 * len(body.prompt)):
            await exchange.raw(await self._service.prepare.run(work), "application/json")

    async def detokenize(self, exchange: Exchange) -> None:
        """POST /detokenize."""
        body = exchange.body(_DETOKENIZE)
        self._service.check_model(body.model)

        def work(gone: Gone) -> bytes:
            return msgspec.json.encode({"prompt": self._model.decode(body.tokens)})

        with self._service.held.bytes(64 * len(body.tokens)):  # few tokens are longer
            await exchange.raw(await self._service.prepare.run(work), "application/json")

    async def next(self, exchange: Exchange) -> None:
        """POST /next."""
        body = exchange.body(_NEXT)
        count = min(body.k, self._model.vocab_size)
        service = self._service
        settings = GenerationConfig(
            temperature=1.0 if body.temperature is None else body.temperature,
            top_k=body.top_k or 0,
            top_p=body.top_p,
            min_p=body.min_p,
        ).resolved()
        with service.engine.reserved(1) as places:
            look = await service.prepare.run(lambda gone: self._look(body.prompt, body))
            call = service.engine.submit([look.request], places=places)
            try:
                await call.finished()
            finally:
                call.end()
            answer = await service.build.run(
                lambda gone: options_of(self._model, look.logits, settings, count, body.seed)
            )
            await exchange.json({**answer, "dropped_chars": look.dropped})

    async def score(self, exchange: Exchange) -> None:
        """POST /score."""
        body = exchange.body(_SCORE)
        service, most = self._service, self._model.context_length
        with service.held.texts(most, body.alternatives, exchange.size):
            content = await service.measure.run(lambda gone: self._scored(body, gone))
            await exchange.raw(content, "application/json")

    def _scored(self, body: ScoreBody, gone: Gone) -> bytes:
        model = self._model
        prompt = encoded(model, body.prompt, body.parse_special).last(model.context_length)
        tokens = token_records(model, prompt)
        scores = predicted(model, prompt.ids, min(body.alternatives, model.vocab_size), gone)
        for token, score in zip(tokens, [None, *scores], strict=False):
            token["logprob"] = None if score is None else score.logprob
            token["rank"] = None if score is None else score.rank
            token["alternatives"] = [
                {"id": other, "text": model.token_label(other), "logprob": logprob}
                for other, logprob in (() if score is None else score.alternatives)
            ]
        perplexity = None
        if scores:
            loss = -math.fsum(score.logprob for score in scores) / len(scores)
            perplexity = exponential(loss)
        return msgspec.json.encode(
            {"tokens": tokens, "perplexity": perplexity, "dropped_chars": prompt.dropped}
        )

    def _look(self, prompt: str | list[int], body: NextBody) -> Look:
        model = self._model
        kept = begun(model, encoded(model, prompt, body.parse_special)).last(model.context_length)
        return Look(model, kept)


@dataclass
class _Captured:
    """A processor that keeps the logits that it sees, and changes nothing."""

    logits: Logits | None = None

    def __call__(self, ids: Sequence[int], logits: Logits) -> Logits:
        self.logits = logits.copy()
        return logits


class Look:
    """A request of one token, for the logits [vocab] behind a prompt."""

    def __init__(self, model: Any, prompt: Encoded) -> None:
        captured = _Captured()
        plain = model.with_config()  # the package's own settings would change the logits
        config = GenerationConfig(max_new_tokens=1, do_sample=False)
        job = make_job(plain, prompt.ids, config, None, {"logits_processor": [captured]})
        ((request, _),) = job.requests()
        assert isinstance(request, SingleText)
        self.request, self.dropped, self._captured = request, prompt.dropped, captured

    @property
    def logits(self) -> Logits:
        """What it came to, once it is over; ApiError where the server ended it."""
        if self._captured.logits is None:
            raise shutting_down()
        return self._captured.logits


def options_of(
    model: Any, logits: Logits, settings: EffectiveSettings, count: int, seed: int | None
) -> dict[str, Any]:
    """The `count` most likely tokens, with the model's probability of each and the probability that
    it is drawn with under `settings`; and the token that `seed` draws.
    """
    drawn: dict[int, float] = {}
    if settings.samples:
        truncations = [top_p_truncation(settings.top_p)] * (settings.top_p < 1)
        truncations += [min_p_truncation(settings.min_p)] * (settings.min_p > 0)
        kept = candidates(logits, settings.temperature, settings.top_k, truncations, reach=0.0)
        shares = np.diff(kept.cumulative, prepend=0.0) / kept.whole
        drawn = dict(zip(kept.ids[:count].tolist(), shares[:count].tolist(), strict=True))
    else:
        drawn = {greedy(logits): 1.0}
    options = largest(logits, count).tolist()
    probabilities = np.exp(log_probabilities(logits)[options].astype(np.float64)).tolist()
    draw = None
    if seed is not None:
        token = make_chooser(settings, seed)(logits, 0)
        draw = {"id": token, "text": model.token_label(token)}
    return {
        "options": [
            {
                "id": token,
                "text": model.token_label(token),
                "probability": probability,
                "drawn": drawn.get(token, 0.0),
            }
            for token, probability in zip(options, probabilities, strict=True)
        ],
        "draw": draw,
    }


def _code_units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)
