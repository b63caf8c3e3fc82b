"""The instructor's process."""
