"""What is seen: panels of a run's numbers as pixels."""
