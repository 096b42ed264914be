"""Where the analyzer's inputs come from."""
