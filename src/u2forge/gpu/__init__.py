"""The offline graph on PyTorch: for NVIDIA GPUs, and for the processor as the reference of these."""
