"""Collected only where `make test-readme` asks for it."""

import os

collect_ignore = [] if os.environ.get("GPT2_EDGE_TEST_README") else ["test_commands.py"]
