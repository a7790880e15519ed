"""What a run is: its steps, what made it, and its storage on disk, written as the run goes and read lazily."""
