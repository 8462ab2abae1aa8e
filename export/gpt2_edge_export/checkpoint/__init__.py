"""Checkpoints of GPT-2, wherever they come from: config and weights."""
