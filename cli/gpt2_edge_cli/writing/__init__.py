"""What `generate` does with its prompts: one text as it is written, several, or files of them."""
