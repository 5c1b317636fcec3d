"""The commands that `manage.py` gets from Leveret."""
