"""The built-in model: its weights and card (`emoji`), the code that trains it (`train`) and measures it (`evaluate`)."""
