"""`make gpu-check`: what no machine without a GPU can settle, in one short run on one GPU."""
