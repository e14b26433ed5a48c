r"""LaTeX as a tree of known elements; what is no formula stays as it is written."""

import pytest

from durian.viewer.formulas import answer_pieces, pieces


def texts(found):
    return [piece if isinstance(piece, str) else piece["tex"] for piece in found]


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("Is $x^2 = 4$ and $y$?", ["$x^2 = 4$", "$y$"]),
        ("It costs $5 and $6.", []),
        (r"\(a\) or \[b\] or $$c$$", [r"\(a\)", r"\[b\]", "$$c$$"]),
        (r"so \boxed{\frac{1}{2}}.", [r"\boxed{\frac{1}{2}}"]),
        (r"so \boxed{blue circle}.", []),  # its words would lose their space
        (r"\boxed{12", []),
        (r"$\nosuchcommand{x}$ and $\frac{1}{$", []),
        ("a $ b $ c", []),
    ],
)
def test_formulas_are_found_and_all_else_is_left(text, formulas):
    found = pieces(text)
    assert "".join(texts(found)) == text
    assert [piece["tex"] for piece in found if not isinstance(piece, str)] == formulas


def test_a_fraction_is_a_tree_of_mathml():
    (found,) = answer_pieces(r"\frac{1}{2}")
    assert found["math"] == ["math", {}, [["mfrac", {}, [["mn", {}, ["1"]], ["mn", {}, ["2"]]]]]]
    assert answer_pieces("12 cm") == ["12 cm"]


def flat(tree):
    tag, attributes, children = tree
    yield tag, attributes
    for child in children:
        if isinstance(child, list):
            yield from flat(child)


@pytest.mark.parametrize(
    "tex",
    [r"\text{<img src=x onerror=alert(1)>}", r"\href{javascript:alert(1)}{x}",
     r"\operatorname{</math><script>alert(1)</script>}", r"\color{red}{x}", r"\style{x}{y}",
     r"\begin{cases}x&y\\z&w\end{cases}", "{" * 1_000, r"\left(" * 300, "&<>\"'"],
)  # fmt: skip
def test_no_formula_brings_an_element_or_attribute_of_its_own(tex):
    for piece in pieces(f"${tex}$"):
        if not isinstance(piece, str):
            for tag, attributes in flat(piece["math"]):
                assert tag == "math" or tag[0] == "m" or tag == "none"
                assert not {"href", "style", "class", "src"} & attributes.keys()
                assert not any(name.startswith("on") for name in attributes)


@pytest.mark.parametrize("mark", ["$", r"\[", r"\(", "$$", r"\boxed{", "$x$ "])
def test_many_marks_that_nothing_closes_are_read_in_linear_time(mark):
    # 20,000 marks; were each looked for to the end of the text this would take minutes.
    text = mark * 20_000
    assert "".join(texts(pieces(text))) == text
