"""Rollouts that exist already: training and evaluation logs in, each sample's completions out.

files.py      the files that a path means, line by line
forms.py      each program's lines as `Logged` completions
matching.py   which sample of the dataset a line is of
kept.py       the matched completions by part, on disk until they are measured
"""
