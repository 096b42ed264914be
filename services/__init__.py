"""The four services and the operator's command. The services never import one another: they meet on Kafka."""
