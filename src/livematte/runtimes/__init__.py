"""What runs a network: ONNX Runtime, and a null engine that computes nothing."""
