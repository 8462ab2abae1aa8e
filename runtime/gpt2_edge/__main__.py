"""python -m gpt2_edge: the command gpt2-edge, for who knows the library's name.

The command is a package of its own above this one, so nothing here imports it by statement.
"""

import importlib
import sys

if __name__ == "__main__":
    sys.exit(importlib.import_module("gpt2_edge_cli.main").main())
