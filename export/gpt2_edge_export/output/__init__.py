"""The package's folder: how it is put in place, and what describes it."""
