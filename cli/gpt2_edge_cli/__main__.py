"""python -m gpt2_edge_cli: the command gpt2-edge."""

import sys

from gpt2_edge_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
