"""ONNX Runtime's side: the session, its caches, and runs of the graph."""
