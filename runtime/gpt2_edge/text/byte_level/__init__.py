"""GPT-2's byte-level BPE in Python alone, for machines without the tokenizers library."""
