"""What the probe touches: threads, Kafka, the interpreter and the kernel's counters."""
