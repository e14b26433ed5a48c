"""Which images of a dataset are nearly the same, and which samples stand in another set too."""
