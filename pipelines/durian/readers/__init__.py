"""Dataset in, samples out; encoded images in, pixels out."""
