"""Does choosing candidates on the device pay? Time from logits on a device to what a sampler needs.

    python tools/measure_topk.py webgpu          (a name of gpt2_edge.graph.providers.PROVIDERS)

GPT-2's 50,257 logits are made on the device. Then either the whole row comes back and the CPU looks
for candidates, or a graph of one operator, bound to the logits where they lie, looks for them there
and only they come back. Prints medians in milliseconds; docs/PROVIDERS.md has them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge.graph.providers import PROVIDERS, onnx_providers
from gpt2_edge.sampling import greedy, largest

VOCAB, K, REPEATS = 50_257, 50, 30
_LOGITS = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, VOCAB])


def main() -> None:
    (name,) = sys.argv[1:]
    device = PROVIDERS[name].device
    logits = np.random.default_rng(0).standard_normal((1, 1, VOCAB)).astype(np.float32)

    def session(nodes: list[onnx.NodeProto], *more: object) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        model = _model(nodes, *more).SerializeToString()
        return ort.InferenceSession(
            model, options, providers=onnx_providers(name, {}), enable_fallback=0
        )

    scale = helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1])
    row = numpy_helper.from_array(logits, "row")
    head = session([helper.make_node("Mul", ["row", "scale"], ["logits"])], scale, _LOGITS, row)
    best = session(
        [helper.make_node("ArgMax", ["logits"], ["id"], axis=-1, keepdims=0)],
        _LOGITS,
        helper.make_tensor_value_info("id", TensorProto.INT64, [1, 1]),
    )
    top = session(
        [helper.make_node("TopK", ["logits", "k"], ["values", "ids"], axis=-1)],
        _LOGITS,
        helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, 1, K]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 1, K]),
        numpy_helper.from_array(np.array([K]), "k"),
    )

    one = np.ones(1, np.float32)
    host = np.empty_like(logits)
    whole, there = head.io_binding(), head.io_binding()
    for binding in (whole, there):
        binding.bind_cpu_input("scale", one)
    whole.bind_ortvalue_output("logits", ort.OrtValue.ortvalue_from_numpy(host))
    there.bind_output("logits", device)
    head.run_with_iobinding(there)
    on_device = there.get_outputs()[0]
    there.bind_ortvalue_output("logits", on_device)

    def row_then(choose: Callable[[np.ndarray], object]) -> None:
        head.run_with_iobinding(whole)
        choose(host[0, 0])

    def there_then(graph: ort.InferenceSession) -> Callable[[], np.ndarray]:
        binding = graph.io_binding()
        binding.bind_ortvalue_input("logits", on_device)
        for output in graph.get_outputs():
            binding.bind_output(output.name)

        def run() -> np.ndarray:
            head.run_with_iobinding(there)
            graph.run_with_iobinding(binding)
            return binding.get_outputs()[-1].numpy().ravel()

        return run

    argmax, topk = there_then(best), there_then(top)
    assert argmax().tolist() == [greedy(logits[0, 0])]
    assert topk().tolist() == largest(logits[0, 0], K).tolist()
    print("| provider | candidates | whole row, chosen on the CPU | chosen on the device |")
    print("| --- | --- | --- | --- |")
    for label, on_cpu, in_graph in (
        ("the likeliest", lambda: row_then(greedy), argmax),
        (f"the {K} likeliest", lambda: row_then(lambda x: largest(x, K)), topk),
    ):
        print(f"| {name} | {label} | {_median(on_cpu):.2f} ms | {_median(in_graph):.2f} ms |")
    # Device memory that is freed behind its session crashes the process: end without freeing.
    sys.stdout.flush()
    os._exit(0)


def _model(nodes: list[onnx.NodeProto], *more: object) -> onnx.ModelProto:
    """A graph of `nodes`. more: its input, its outputs, its weights."""
    values = [entry for entry in more if isinstance(entry, onnx.ValueInfoProto)]
    weights = [entry for entry in more if isinstance(entry, onnx.TensorProto)]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _median(run: Callable[[], object]) -> float:
    """Milliseconds; the first two runs compile."""
    seconds = []
    for _ in range(REPEATS + 2):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return 1e3 * float(np.median(seconds[2:]))


if __name__ == "__main__":
    main()
