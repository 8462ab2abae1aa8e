"""Outputs that other projects published for GPT-2's own weights, and a package against them."""
