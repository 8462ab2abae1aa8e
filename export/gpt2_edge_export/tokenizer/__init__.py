"""The tokenizer of a checkpoint, as one tokenizer.json."""
