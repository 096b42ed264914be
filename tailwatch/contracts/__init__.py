"""What the services say to each other: units, events, topics, codec and errors.

No IO and no clock. Every record on Kafka is one of the events here, wrapped as CloudEvents 1.0 in binary mode.
"""
