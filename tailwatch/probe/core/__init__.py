"""What the probe decides and counts: no IO, no clock."""
