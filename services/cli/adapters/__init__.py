"""What the command touches: child processes, HTTP load, Kafka, the terminal."""
