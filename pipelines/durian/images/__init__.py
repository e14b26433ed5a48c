"""Bytes to pixels, or why not."""
