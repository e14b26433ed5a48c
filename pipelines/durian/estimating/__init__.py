"""Difficulty of each sample, estimated from its completions and from samples like it."""
