"""The verbs of the command, each with `add_parser` and `run`."""
