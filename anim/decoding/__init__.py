"""From latents to pixels: by the pipeline that made them, or by a linear map to colours."""
