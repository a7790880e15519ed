"""An optional, faster way to run the network: fused kernels and CUDA graphs."""
