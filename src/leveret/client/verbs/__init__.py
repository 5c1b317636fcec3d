"""What a client does with a remote method other than calling it: one verb in each file."""
