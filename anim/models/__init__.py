"""Opening models: their files, here or on the hub, their classes and precision, bare denoisers and pipelines."""
