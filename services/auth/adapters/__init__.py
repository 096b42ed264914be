"""What the auth service touches: the gateway's consumers, HTTP."""
