"""A sample's facts as the page shows them: its texts with their formulas."""

from __future__ import annotations

from durian.records import JsonObject
from durian.viewer.facts import SampleFacts
from durian.viewer.formulas import answer_pieces, pieces


def shown_facts(facts: SampleFacts) -> JsonObject:
    """The facts as JSON values, with `pieces` beside each text that may hold formulas."""
    found = facts.as_json
    found["problem_pieces"] = pieces(facts.problem)
    found["answer_pieces"] = answer_pieces(facts.answer)
    for one in found["completions"]:
        one["pieces"] = pieces(one["completion"])
        one["answer_pieces"] = None if one["answer"] is None else answer_pieces(one["answer"])
    for one in found["answers"]:
        one["pieces"] = None if one["answer"] is None else answer_pieces(one["answer"])
    return found
