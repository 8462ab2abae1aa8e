"""`next` at a terminal: a text that is written by choosing among the likeliest next tokens."""
