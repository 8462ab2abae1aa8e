"""`chat`: turns, commands between them, and the lines that a person types."""
