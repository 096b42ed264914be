"""How reports are printed, served, and what is already known."""
