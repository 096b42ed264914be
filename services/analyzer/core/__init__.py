"""What a capture says: bytes and facts in, one analysis out. No IO, no clock."""
