"""What the auth service decides: consumers, tokens, errors. No IO, no clock."""
