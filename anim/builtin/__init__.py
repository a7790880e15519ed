"""The built-in model: its weights and card (`emoji`), what trains it (`train`) and what measures it (`evaluate`)."""
