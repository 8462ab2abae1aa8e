"""What quantization cost, and whether the new graph computes as it must."""
