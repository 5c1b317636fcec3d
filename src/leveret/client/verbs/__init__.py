"""What a client does with a remote method beside calling it: a verb in each file."""
