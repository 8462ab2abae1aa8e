"""`attend`: with what weights the tokens of a text attend to each other, shown and written."""
