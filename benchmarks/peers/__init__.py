"""The same model in other engines, measured beside ours: docs/PERFORMANCE.md's tables."""
