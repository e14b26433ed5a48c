"""The run folder: parts, lock, resume."""
