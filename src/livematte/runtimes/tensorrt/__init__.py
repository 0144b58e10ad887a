"""TensorRT and TensorRT-RTX: networks compiled for NVIDIA GPUs ahead of time, as plans kept in the user's cache."""
