"""Shapes of rows that hold their problem in a list of messages, each found by its columns.

A form is a function in a file of its own, and a line here: it is shown the first rows, and says
where the problem and the answer of its rows are, or nothing. What the contract names (`problem`,
`answer`, `images`) comes before any form.
"""

from __future__ import annotations

from durian.readers.forms.conversations import conversations
from durian.readers.forms.finevision import finevision
from durian.readers.forms.found import Found
from durian.readers.forms.openai import openai
from durian.readers.forms.slime import slime
from durian.readers.forms.swift import swift
from durian.readers.forms.trl import trl
from durian.readers.forms.verl import verl
from durian.readers.head import Head

# Where two know the same column, the first has it.
FORMS = (verl, swift, conversations, finevision, slime, trl, openai)


def found_forms(head: Head) -> list[Found]:
    """The forms of these rows, one for each column that holds a problem."""
    found: dict[str, Found] = {}
    for form in FORMS:
        if (rows := form(head)) is not None:
            found.setdefault(rows.problem, rows)
    return list(found.values())
