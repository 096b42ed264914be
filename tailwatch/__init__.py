"""tailwatch: watch a service's tail latency and capture why it is slow, in the process that is slow."""
