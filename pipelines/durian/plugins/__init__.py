"""The normalizer inside other people's trainers: verl, ms-swift, EasyR1, slime.

`rows.py` is what they share; each other file fits one trainer. They import numpy and torch alone,
so that Durian installed with `--no-deps` in the trainer's environment is enough.
"""
