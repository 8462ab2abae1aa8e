"""The activation functions of transformers, and what some of them have learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import shown

# activation_function in config.json -> what operators.py writes. The tanh forms are one formula
# under several names in transformers; so are the erf forms.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "gelu_10": "gelu_clipped",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu_squared",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "laplace": "laplace",
    "linear": "linear",
    "prelu": "prelu",
    "xielu": "xielu",
}
# What two of them have learned: tensors of one number in every layer, `h.{layer}.mlp.act.` and
# these names, in these shapes.
LEARNED: dict[str, dict[str, tuple[int, ...]]] = {
    "prelu": {"weight": (1,)},
    "xielu": {"alpha_p": (1,), "alpha_n": (1,), "beta": (), "eps": ()},
}


@dataclass(frozen=True)
class Activation:
    """The activation of one layer: one of ACTIVATIONS, and its numbers by the names of LEARNED."""

    function: str
    learned: Mapping[str, float] = field(default_factory=dict)


def check_activation(name: object, says: str) -> None:
    """CheckpointError, beginning with `says`, unless `name` is an activation that is exported."""
    if isinstance(name, str) and name in ACTIVATIONS:
        return
    raise CheckpointError(f"{says} {shown(name)}; expected one of {', '.join(ACTIVATIONS)}")
