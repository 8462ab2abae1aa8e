"""The ONNX graph: its flavours, and the operators that they are made of."""
