"""README.md of a package: what it is, how big, how to use it."""

from __future__ import annotations

import re
from typing import Any

from gpt2_edge.files.manifest import Manifest
from gpt2_edge.untrusted import printable
from gpt2_edge_export.measure.report import quality_lines


def model_card(manifest: Manifest, raw_config: dict[str, Any], kind: str) -> str:
    """Markdown that describes the package of `manifest`, a model of the family `kind`."""
    architecture, recipe = manifest.architecture, manifest.recipe
    formats = "\n".join(
        f"| {group} | {entry['bits']} | {entry.get('block_size', '')} |"
        for group, entry in recipe.items()
        if isinstance(entry, dict)
    )
    prompt = '"The animal"' if manifest.tokenizer else "[1, 2, 3]"
    result = "text" if manifest.tokenizer else "ids"
    megabytes = sum(record.bytes for record in manifest.files.values()) / 1e6
    activation = str(raw_config.get("activation_function", "gelu_new"))
    test = manifest.self_test
    checked = len(test.expected_ids) if test else 0
    return f"""# {_escaped(manifest.name)}, {recipe["name"]}

A {kind} of {architecture.num_layers} layers, width {architecture.hidden_size},
{architecture.num_heads} heads, vocabulary {architecture.vocab_size}, context
{architecture.context_length}, activation {_escaped(activation)}:
an ONNX graph ({manifest.graph.flavour}) of {megabytes:.1f} MB with a key-value cache, written by
{manifest.created_by}. It needs ONNX Runtime {manifest.graph.min_onnxruntime} or later.

| weights | bits | block size |
|---|---|---|
{formats}

Biases and normalizations are float32.
{_quality(manifest.quality)}
```python
from gpt2_edge import Generator

print(Generator.load("this folder").generate({prompt}).{result})
```

`gpt2-edge verify FOLDER` compares the files' hashes and runs the self-test in manifest.json
({checked} greedy tokens, {len(test.logits) if test else 0} logits). The weights keep the licence
of the checkpoint they come from.
"""


def _quality(quality: dict[str, Any] | None) -> str:
    if quality is None:
        return ""
    return "\n```text\n" + "\n".join(quality_lines(quality)) + "\n```\n"


def _escaped(text: str) -> str:
    r"""`text` as one line of Markdown that shows it as it is: \* for *."""
    return re.sub(
        r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[\\`*\[\]<>#|~&!$]", r"\\\g<0>", printable(text)
    )
