"""Checkpoints of other trainers, read as Hugging Face's."""
