"""Foresee the work and the cost of a run before it begins."""
