"""Execute a notebook from top to bottom, in its own folder, and write it with its outputs.

    python tools/run_notebook.py notebooks/gpt2_from_the_inside.ipynb [--output COPY]

Without --output the file itself gets the new outputs. The first error ends it, with exit status 1,
and nothing is written. Needs the extra [notebooks].
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

_CELL_SECONDS = 600


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute a notebook and keep its outputs.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--output", type=Path, help="write here, and leave the notebook as it is")
    arguments = parser.parse_args()
    source: Path = arguments.notebook
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=_CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(source.resolve().parent)}},
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        print(f"run_notebook: {source}: {error}", file=sys.stderr)
        return 1
    # Which Python it was is nobody's concern, and would change with every machine.
    notebook.metadata.language_info = {"name": "python"}
    nbformat.validate(notebook)
    nbformat.write(notebook, arguments.output or source)
    return 0


if __name__ == "__main__":
    sys.exit(main())
