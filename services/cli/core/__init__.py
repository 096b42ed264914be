"""What the command works out from events: sentences, and whether the loop closed. No IO, no clock."""
