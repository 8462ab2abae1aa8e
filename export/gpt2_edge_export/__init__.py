"""From a GPT-2 checkpoint to a gpt2-edge package; never imported by the runtime."""
