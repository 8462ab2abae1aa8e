"""The verbs of the command that need the runtime only."""
