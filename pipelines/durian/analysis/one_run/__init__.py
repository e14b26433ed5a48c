"""The numbers that the report of one run shows."""
