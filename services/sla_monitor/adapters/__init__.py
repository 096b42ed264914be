"""Faust: bytes in from Kafka, acknowledgements out, and the table of latches."""
