"""The commands, by theme. What is heavy (torch, the database driver, pydantic) is imported inside a command."""
