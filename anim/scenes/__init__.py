"""What a picture shows: panels that turn a run's numbers into pixels."""
