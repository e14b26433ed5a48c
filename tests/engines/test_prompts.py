import pytest

from durian.engines.prompts import build_messages, load_template
from durian.errors import ConfigError
from durian.samples import Failed

IMAGE = {"type": "image"}


def text(words):
    return {"type": "text", "text": words}


def user_content(problem, n_images, template=None):
    [message] = build_messages(problem, n_images, system_prompt="", template=template)
    assert message["role"] == "user"
    return message["content"]


@pytest.fixture
def template_of(tmp_path):
    def make(source, encoding="utf-8"):
        path = tmp_path / "prompt.jinja"
        path.write_bytes(source.encode(encoding))
        return load_template(str(path))

    return make


@pytest.mark.parametrize(
    ("problem", "n_images", "content"),
    [
        ("How many?", 0, [text("How many?")]),
        ("How many?", 1, [IMAGE, text("How many?")]),
        ("How many?", 2, [IMAGE, IMAGE, text("How many?")]),
        ("<image>How many?", 1, [IMAGE, text("How many?")]),
        ("In <image> or <image>?", 2, [text("In "), IMAGE, text(" or "), IMAGE, text("?")]),
        ("How many?<image>", 1, [text("How many?"), IMAGE]),
        ("<image>", 1, [IMAGE]),
        ("", 1, [IMAGE]),
    ],
)
def test_marks_place_the_images_and_without_marks_they_come_first(problem, n_images, content):
    assert user_content(problem, n_images) == content


@pytest.mark.parametrize(
    ("problem", "n_images", "reason"),
    [
        ("<image><image><image>?", 2, "3 <image> marks for 2 images"),
        ("<image>?", 2, "1 <image> mark for 2 images"),
        ("<image>?", 0, "1 <image> mark for 0 images"),
        ("<image><image>?", 1, "2 <image> marks for 1 image"),
        ("", 0, "the problem is empty"),
    ],
)
def test_marks_that_do_not_fit_the_images_fail_the_sample(problem, n_images, reason):
    assert build_messages(problem, n_images, system_prompt="", template=None) == Failed(reason)


def test_the_system_prompt_comes_first_and_an_empty_one_not_at_all():
    system, user = build_messages("Why?", 0, system_prompt="Think.", template=None)
    assert system == {"role": "system", "content": [text("Think.")]}
    assert user["role"] == "user"
    assert len(build_messages("Why?", 0, system_prompt="", template=None)) == 1


@pytest.mark.parametrize("name", ["content", "problem"])
def test_a_template_in_easyr1s_convention_stands_around_the_problem(name, template_of):
    # EasyR1's own math.jinja is of this form; its loader strips the file.
    template = template_of(f"{{{{ {name} | trim }}}} Box it: \\boxed{{}}.\n\n")
    assert user_content(" <image>How many? ", 1, template) == [
        IMAGE,
        text("How many? Box it: \\boxed{}."),
    ]


@pytest.mark.parametrize("problem", ["{{ 7 * 7 }}", "{% for %}", "{# gone #}", "{{ content }}"])
def test_a_problem_is_never_read_as_a_template(problem, template_of):
    assert user_content(problem, 0, template_of("Q: {{ content }}")) == [text(f"Q: {problem}")]


def test_html_in_a_problem_is_not_escaped(template_of):
    assert user_content("a < b & c", 0, template_of("{{ content }}")) == [text("a < b & c")]


def test_a_template_that_fails_on_one_problem_fails_that_sample(template_of):
    template = template_of("{{ content }} {{ 1 // (content | length - 3) }}")
    messages = build_messages("abc", 0, system_prompt="", template=template)
    assert isinstance(messages, Failed)
    assert messages.error.startswith("prompt template: ")
    assert user_content("abcd", 0, template) == [text("abcd 1")]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("one\n{{ content", r"prompt\.jinja:2: "),
        ("one\ntwo\n{{ question }}", r"prompt\.jinja:3: 'question' is undefined"),
        ("{{ content }}\n{{ 1 / 0 }}", r"prompt\.jinja:2: division by zero"),
        ("{{ content.__class__.__mro__ }}", r"prompt\.jinja:1: .*unsafe"),
        ("Answer well.", r"prompt\.jinja: no \{\{ content \}\}"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_its_file_and_line(source, reason, template_of):
    with pytest.raises(ConfigError, match=reason) as caught:
        template_of(source)
    assert "\n" not in str(caught.value)


def test_a_template_that_is_not_there_or_not_utf8_is_refused(tmp_path, template_of):
    with pytest.raises(ConfigError, match=r"none\.jinja: No such file"):
        load_template(str(tmp_path / "none.jinja"))
    with pytest.raises(ConfigError, match="not UTF-8 at byte 3"):
        template_of("caf\xe9 {{ content }}", encoding="latin-1")


def test_a_template_that_recurses_on_one_problem_fails_that_sample_alone(tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text(
        "{% macro deep(n) %}{{ deep(n + 1) }}{% endmacro %}"
        "{{ content }}{% if content == 'x' %}{{ deep(0) }}{% endif %}"
    )
    template = load_template(str(path))
    failed = build_messages("x", 0, system_prompt="", template=template)
    assert isinstance(failed, Failed) and failed.error.startswith("prompt template: ")
    assert "\n" not in failed.error
    assert not isinstance(build_messages("y", 0, system_prompt="", template=template), Failed)
