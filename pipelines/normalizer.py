"""Rewards and groups to advantages (eq. 2, 12-13, 18-20)."""
