"""The command gpt2-edge, above runtime and exporter; a module for each verb in `verbs`."""
