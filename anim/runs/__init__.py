"""What a run is: its steps, what made it, and how it lies on the disk, written while it goes on and read lazily."""
