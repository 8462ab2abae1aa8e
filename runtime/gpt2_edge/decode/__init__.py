"""The decoder: from requests to tokens, over the rows of one cache (docs/ARCHITECTURE.md)."""
