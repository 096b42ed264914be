"""What every shell needs: settings, logs, metrics, Kafka, the consumer pump, lifecycle, artifacts, a broker."""
