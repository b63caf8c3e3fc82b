"""The volunteer's process."""
