"""POST /attention: with what weights the tokens of a text attend to each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from gpt2_edge_server.bodies import AttentionBody
from gpt2_edge_server.errors import refused
from gpt2_edge_server.exchange import Exchange
from gpt2_edge_server.pool import GaveUp, Gone
from gpt2_edge_server.prompts import Encoded, begun, encoded, token_records
from gpt2_edge_server.service import Service

_MOST_WEIGHTS = 4_000_000  # of all layers and heads
_DIGITS = 5
_BYTES = 8  # of a weight, as digits
_DECODER = msgspec.json.Decoder(AttentionBody)


class Attention:
    """The handler."""

    def __init__(self, service: Service) -> None:
        self._service = service
        architecture = service.generator.manifest.architecture
        self._layers, self._heads = architecture.num_layers, architecture.num_heads
        self._most = min(most_tokens(self._layers * self._heads), service.generator.context_length)

    async def __call__(self, exchange: Exchange) -> None:
        service = self._service
        body = exchange.body(_DECODER)
        if not service.generator.gives_attention:
            raise refused("this package gives no attention; export it with the flavour fused")
        for name, value, count in (
            ("layer", body.layer, self._layers),
            ("head", body.head, self._heads),
        ):
            if value is not None and value >= count:
                raise refused(f"{name} must be from 0 to {count - 1}", name)
        prompt = await service.prepare.run(lambda gone: self._prompt(body))
        layers = self._layers if body.layer is None else 1
        heads = self._heads if body.head is None else 1
        weights = layers * heads * len(prompt.ids) * (len(prompt.ids) + 1) // 2
        with service.held.bytes(_BYTES * weights):
            content = await service.measure.run(lambda gone: self._answer(body, prompt, gone))
            await exchange.raw(content, "application/json")

    def _prompt(self, body: AttentionBody) -> Encoded:
        model = self._service.generator
        return begun(model, encoded(model, body.prompt, body.parse_special)).last(self._most)

    def _answer(self, body: AttentionBody, prompt: Encoded, gone: Gone) -> bytes:
        """The answer as JSON, put together head by head: as one object it would be too large."""
        weights = self._service.generator.attention(prompt.ids, body.layer, body.head)
        layers = []
        for layer in weights:
            heads = []
            for head in layer:
                if gone():
                    raise GaveUp
                heads.append(msgspec.json.encode(list(_rows(head))))
            layers.append(b"[" + b",".join(heads) + b"]")
        head_record = msgspec.json.encode(self._record(prompt))
        return head_record[:-1] + b',"attention":[' + b",".join(layers) + b"]}"

    def _record(self, prompt: Encoded) -> dict[str, Any]:
        return {
            "tokens": token_records(self._service.generator, prompt),
            "layers": self._layers,
            "heads": self._heads,
            "dropped_chars": prompt.dropped,
        }


def most_tokens(heads: int) -> int:
    """How many tokens have all their weights in `heads` heads (of all layers) in one answer."""
    return max(1, (math.isqrt(8 * _MOST_WEIGHTS // heads + 1) - 1) // 2)


def _rows(head: npt.NDArray[np.float32]) -> Iterator[list[float]]:
    """Each query's weights for the keys up to it."""
    rounded = np.round(head.astype(np.float64), _DIGITS)
    for query, row in enumerate(rounded):
        yield row[: query + 1].tolist()
