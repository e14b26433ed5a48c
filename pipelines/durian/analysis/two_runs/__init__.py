"""The numbers of a comparison of two runs."""
