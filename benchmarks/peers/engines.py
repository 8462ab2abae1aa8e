"""The rows of the table: which engine runs which form of the model, and by which worker."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers.environments import Environments, SetupError
from peers.formats import Formats

PROMPTS = ", prompts in 8 bits"
WORKERS = Path(__file__).resolve().parent / "workers"


@dataclass(frozen=True)
class Runner:
    """What a worker is started with."""

    python: Path
    worker: Path
    model: Path
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    own: bool = False


@dataclass(frozen=True)
class Row:
    """One engine with one form of the model.

    bits: of the matrices; rows are compared with those of the same. prepare: makes what it needs,
    or raises SetupError.
    """

    name: str
    bits: int
    ours: bool
    prepare: Callable[[], Runner]


def all_rows(formats: Formats, environments: Environments) -> list[Row]:
    """Every engine that is known, in the table's order."""
    return list(_rows(formats, environments))


def _rows(formats: Formats, environments: Environments) -> Iterator[Row]:
    for form, bits, prompts in (
        ("int4", 4, False), ("int4", 4, True), ("int4 --block-size 128", 4, False),
        ("int8", 8, False), ("int8-row", 8, False),
    ):  # fmt: skip
        yield Row(
            f"ours {form}{PROMPTS if prompts else ''}",
            bits,
            True,
            lambda form=form, prompts=prompts: _ours(formats, form, prompts),  # type: ignore[misc]
        )
    for form, bits in (("Q4_0", 4), ("Q4_K_M", 4), ("Q8_0", 8)):
        yield Row(
            f"llama.cpp {form}",
            bits,
            False,
            lambda form=form: _llama(formats, environments, form),  # type: ignore[misc]
        )

    def peer(python: str, worker: str, model: Callable[[], Path], **options: Any) -> Runner:
        found = environments.python(python)
        return Runner(found, WORKERS / worker, model(), options)

    for form, bits in (("int4", 4), ("int8", 8)):
        yield Row(
            f"OpenVINO GenAI {form}",
            bits,
            False,
            lambda form=form: peer(  # type: ignore[misc]
                "openvino", "openvino_pipeline.py", lambda: formats.openvino(form)
            ),
        )
    yield Row("CTranslate2 int8", 8, False, lambda: _ctranslate2(formats, environments))
    for form, bits in (("int4", 4), ("int8-row", 8)):
        yield Row(
            f"onnxruntime-genai, our {form}",
            bits,
            False,
            lambda form=form: peer("genai", "genai.py", lambda: formats.ours(form)),  # type: ignore[misc]
        )
    yield Row("ExecuTorch 8da4w", 4, False, _executorch)
    yield Row(
        "optimum fp32",
        32,
        False,
        lambda: peer("torch", "torch_stack.py", lambda: formats.optimum("fp32"), engine="optimum"),
    )
    yield Row(
        "transformers fp32",
        32,
        False,
        lambda: peer("torch", "torch_stack.py", lambda: formats.checkpoint, engine="transformers"),
    )


def _ours(formats: Formats, form: str, prompts: bool) -> Runner:
    """As on the second and every later time that this machine loads the package."""
    cache = {"GPT2_EDGE_CACHE": str(formats.cache(form, prompts))}
    worker = WORKERS / "ours.py"
    return Runner(Path(sys.executable), worker, formats.ours(form), {}, cache, own=True)


def _llama(formats: Formats, environments: Environments, form: str) -> Runner:
    model = formats.gguf(form)
    context = {"context": _config(formats)["n_positions"]}
    python = environments.python("llama")
    return Runner(python, WORKERS / "llama.py", model, context, llama_variables(environments))


def llama_variables(environments: Environments) -> dict[str, str]:
    """Where the bindings find what was built.

    Its threads wait in a loop, as is the default: asleep (OMP_WAIT_POLICY=passive) they decode half
    as fast where the machine has nothing else to do, and faster where it has.
    """
    return {
        "LLAMA_CPP_LIB_PATH": str(environments.llama_bin),
        "PYTHONPATH": str(environments.llama_source),
    }


def _ctranslate2(formats: Formats, environments: Environments) -> Runner:
    model = formats.ctranslate2("int8")
    names = json.loads((model / "vocabulary.json").read_text("utf-8"))
    python = environments.python("ctranslate2")
    return Runner(python, WORKERS / "ctranslate.py", model, {"names": names})


def _executorch() -> Runner:
    # executorch 1.5.1 (cp313) on Debian's torch 2.6: undefined symbol
    # c10::TensorImpl::decref_pyobject.
    raise SetupError("its wheels need a torch newer than Debian's 2.6; PyPI's is 2.7 GB, with CUDA")


def _config(formats: Formats) -> dict[str, Any]:
    text = (formats.checkpoint / "config.json").read_text("utf-8")
    config: dict[str, Any] = json.loads(text)
    return config
