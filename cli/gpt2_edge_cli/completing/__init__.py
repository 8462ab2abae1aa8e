"""Scripts that let a shell complete the command, written from the verbs' own parsers."""
