"""python -m gpt2_edge: the command gpt2-edge."""

import sys

from gpt2_edge.cli import main

if __name__ == "__main__":
    sys.exit(main())
