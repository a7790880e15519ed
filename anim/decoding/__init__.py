"""Turning latents into pixels: with the pipeline that made them, or by a linear map to colours."""
