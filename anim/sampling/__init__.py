"""The sampling loop of a bare denoiser, its noise, and its checkpoints."""
