"""What transformers.js reads in config.json of the files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2_edge_export.graph.onnx_builder import DATA_FILE

TRANSFORMERS_JS = "transformers.js_config"


def transformers_js_config(folder: Path) -> dict[str, Any]:
    """Where transformers.js finds the graph in `folder`, whatever the device.

    "fp32" means the file model.onnx: its own names for others, such as model_q4.onnx, are of
    graphs that a package does not have. Weights outside of the graph are loaded only if this says
    that there are some.
    """
    config: dict[str, Any] = {"dtype": "fp32"}
    if (folder / DATA_FILE).exists():
        config["use_external_data_format"] = True
    return config
