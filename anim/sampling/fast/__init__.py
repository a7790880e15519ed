"""The same loop with less time between its convolutions: fused kernels and graphs, which may be left out."""
