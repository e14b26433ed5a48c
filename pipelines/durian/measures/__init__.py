"""One file per measure of difficulty: arrays in, numbers out."""
