"""The built-in model: its weights and card, and where they lie."""
