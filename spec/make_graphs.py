"""Write spec/graphs.json: what graphs may be made of, a small one of each kind, for all runtimes.

python spec/make_graphs.py   (needs onnx)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

FILE = Path(__file__).with_name("graphs.json")
ABOUT = (
    "What a graph of a package may be made of. with_graphs: operators that run a graph within "
    "them. compiled: an operator that makes a provider read files of its own. domains: those of "
    "the operators that may stand in a graph. refused: ONNX files (base64) that every runtime "
    "refuses in one line, which contains names, before ONNX Runtime sees them. borne: those that "
    "are read."
)
WITH_GRAPHS = [
    "BeamSearch",
    "GreedySearch",
    "If",
    "Loop",
    "Sampling",
    "Scan",
    "SequenceMap",
    "WhisperBeamSearch",
]
DOMAINS = ["", "ai.onnx", "com.microsoft"]
# A node's name (field 3) becomes an operator (4). Of a field that stands twice the last counts.
TWICE = (b"\x1a\x08Softplus", b"\x22\x08Softplus")
_Change = Callable[[onnx.ModelProto], None]


def body() -> onnx.GraphProto:
    return helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "body", [], [])


def model(change: _Change) -> str:
    """A graph of one Relu and what `change` makes of it."""
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    whole = onnx.ModelProto(ir_version=10, producer_name="spec", graph=graph)
    change(whole)
    content = whole.SerializeToString(deterministic=True)
    return base64.b64encode(content.replace(*TWICE)).decode()


def node(operator: str, domain: str = "", **attributes: Any) -> _Change:
    made = helper.make_node(operator, ["x"], ["z"], domain=domain, **attributes)
    return lambda whole: whole.graph.node.append(made)


def function(whole: onnx.ModelProto) -> None:
    whole.functions.add(name="Relu", domain="").node.append(whole.graph.node[0])


def graphs_attribute(whole: onnx.ModelProto) -> None:
    """Graphs in a list, beside a text that makes runtimes look at attributes at all."""
    added = whole.graph.node.add(op_type="Relu")
    added.attribute.append(helper.make_attribute("location", "x"))
    added.attribute.append(helper.make_attribute("branches", [body(), body()]))


def twice(whole: onnx.ModelProto) -> None:
    """An operator Softplus, and then Loop, in the same node: see TWICE."""
    whole.graph.node.add(op_type="Loop", name="Softplus")


REFUSED: dict[str, tuple[_Change, str]] = {
    **{
        operator: (node(operator, body=body()), operator)
        for operator in ("Loop", "If", "Scan", "SequenceMap")
    },
    **{
        operator: (node(operator, "com.microsoft", decoder=body()), operator)
        for operator in ("BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch")
    },
    "Loop without its graph": (node("Loop"), "Loop"),
    "Loop of ai.onnx": (node("Loop", "ai.onnx"), "Loop"),
    "graphs in another node": (graphs_attribute, "Relu"),
    "an operator that is given twice": (twice, "Loop"),
    "a compiled node": (node("EPContext", "com.microsoft"), "EPContext"),
    "an operator of another library": (node("Relu", "evil.ops"), "evil.ops"),
    "machine learning's operators": (node("Scaler", "ai.onnx.ml"), "ai.onnx.ml"),
    "a domain that nearly is ONNX's": (node("Relu", "ai.onnx "), "ai.onnx "),
    "a domain with control characters": (node("Relu", "a\x1b[2J\n"), "Relu"),
    "a function": (function, "functions"),
}
BORNE: dict[str, _Change] = {
    "ONNX's operators": node("Gather", axis=0),
    "ONNX's operators by its name": node("Softmax", "ai.onnx", axis=-1),
    "ONNX Runtime's operators": node("FastGelu", "com.microsoft"),
    "domains that no node is of": lambda whole: whole.opset_import.add(domain="ai.onnx.ml"),
    "a node that is called Loop": lambda whole: whole.graph.node.add(op_type="Neg", name="Loop"),
    "a value that is called If": lambda whole: whole.graph.node.add(op_type="Neg", input=["If"]),
}


def main() -> None:
    spec = {
        "about": ABOUT,
        "with_graphs": WITH_GRAPHS,
        "compiled": ["EPContext"],
        "domains": DOMAINS,
        "refused": [
            {"name": name, "graph": model(change), "names": names}
            for name, (change, names) in REFUSED.items()
        ],
        "borne": [{"name": name, "graph": model(change)} for name, change in BORNE.items()],
    }
    lines = json.dumps(spec, indent=1, ensure_ascii=False)
    FILE.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
