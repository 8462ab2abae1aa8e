"""What a graph may be made of, whoever wrote it: nodes of ONNX and ONNX Runtime in one list.

No GPT-2 needs more, and what else there is may run for ever: loops and branches over graphs of
their own, functions, operators of other libraries. spec/graphs.json has the rule for all runtimes.
"""

from __future__ import annotations

from gpt2_edge.files.protobuf import OnnxFileError
from gpt2_edge.untrusted import shown

DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
# Those that run a graph within them, by loops, branches or searches.
WITH_GRAPHS = frozenset(
    {"BeamSearch", "GreedySearch", "If", "Loop", "Sampling", "Scan", "SequenceMap",
     "WhisperBeamSearch"}
)  # fmt: skip
COMPILED = "EPContext"  # makes a provider read a file by a name of its own


def check_node(operator: str, domain: str) -> None:
    """OnnxFileError for a node that no graph of a GPT-2 has."""
    if operator in WITH_GRAPHS:
        raise with_graph(operator)
    if operator == COMPILED:
        raise OnnxFileError(f"it has a node {COMPILED}, compiled for one device")
    if domain not in DOMAINS:
        raise OnnxFileError(
            f"it has a node {shown(operator)} of {shown(domain)}, operators of another library"
        )


def with_graph(operator: str) -> OnnxFileError:
    """What to raise for a node that holds a graph."""
    return OnnxFileError(f"it has a node {shown(operator)}, which runs a graph within the graph")


def with_functions() -> OnnxFileError:
    """What to raise for a file that brings functions."""
    return OnnxFileError("it has operators of its own, as functions")
