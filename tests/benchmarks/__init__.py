"""Benchmarks: ours, the naive way and a peer, side by side in one run, quoted as ratios."""
