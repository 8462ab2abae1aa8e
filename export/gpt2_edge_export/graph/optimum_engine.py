"""The ecosystem's stock path: optimum-onnx's own export with past, packaged like ours."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from gpt2_edge.errors import ExportError, MissingDependencyError, install_hint
from gpt2_edge.files.manifest import Graph, GraphNames
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint
from gpt2_edge_export.checkpoint.family import GPT2

_FILES = ("model.onnx", "model.onnx_data", "model.onnx.data")


def export_with_optimum(checkpoint: Checkpoint, folder: Path) -> Graph:
    """Write optimum's model.onnx for `checkpoint`, a Hugging Face folder, into `folder`.

    The graph is fp32, returns the logits of all positions, and concatenates its cache. Raises
    MissingDependencyError without the extra [optimum].
    """
    try:
        exporters = importlib.import_module("optimum.exporters.onnx")
    except ImportError as error:
        raise MissingDependencyError(
            f"--engine optimum needs optimum-onnx and torch: {install_hint('optimum')}"
        ) from error
    if not (checkpoint.folder / "config.json").is_file():
        raise ExportError(f"{checkpoint.source}: optimum exports Hugging Face checkpoints only")
    if not checkpoint.as_transformers_saves:
        # transformers would make up what it does not find.
        raise ExportError(
            f"{checkpoint.source}: transformers, which optimum reads with, needs a model_type in "
            "config.json and weights without another prefix; use the fused engine"
        )
    config = checkpoint.config
    if checkpoint.family is GPT2 and (
        config.scale_attn_by_inverse_layer_idx or not config.scale_attn_weights
    ):
        # optimum traces transformers' sdpa attention, which ignores both (4.57).
        raise ExportError(
            f"{checkpoint.source}: optimum's export ignores scale_attn_weights and "
            "scale_attn_by_inverse_layer_idx; use the fused engine"
        )
    if config.activation_function == "xielu":
        # torch's exporter knows no expm1 (2.6), and prints the whole graph over it.
        raise ExportError(f"{checkpoint.source}: torch cannot export xielu; use the fused engine")
    with tempfile.TemporaryDirectory(dir=folder) as scratch, _quiet():
        try:
            exporters.main_export(
                str(checkpoint.folder),
                output=scratch,
                task="text-generation-with-past",
                do_validation=False,
            )
        except Exception as error:  # whatever transformers, torch and onnx raise
            raise ExportError(
                f"{checkpoint.source}: optimum's export failed ({type(error).__name__}: {error}); "
                "use the fused engine"
            ) from error
        for name in _FILES:
            if (Path(scratch) / name).is_file():
                shutil.move(Path(scratch) / name, folder / name)
    if not (folder / _FILES[0]).is_file():
        raise ExportError("optimum wrote no model.onnx; its version may be too new or too old")
    return Graph(
        file=_FILES[0],
        flavour="optimum",
        cache="concat",
        cache_dtype="float32",
        min_onnxruntime="1.18",
        names=GraphNames(logits_to_keep=None),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tracer's warnings and chatter off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
