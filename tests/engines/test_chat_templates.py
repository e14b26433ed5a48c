"""Chat templates of the structure that public policies have, tried on the first rows.

Written here after how they behave: Llama 3.2 Vision refuses images beside a system message and
trims the system's content as a text; Gemma 3 puts the system's text before the user's; Gemma 2 and
early Mistral know no system role; others want each content to be a text.
"""

import json
from shutil import copytree

import pytest

from durian.config import ProfileConfig, SamplingConfig
from durian.engines.base import RefusedPrompt
from durian.engines.chat import Chat, load_chat
from durian.errors import ConfigError
from durian.measuring.first_rows import check_first_rows
from durian.readers.dataset import open_dataset
from durian.samples import Prompt

PARTS = """
{%- for part in m.content %}{% if part.type == 'image' %}<|image_pad|>{% else %}{{ part.text }}
{%- endif %}{% endfor -%}"""

LLAMA_VISION = (
    """
{%- if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}
{%- set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}
{%- set seen = namespace(images=false) %}
{%- for m in messages %}{% for part in m.content %}{% if part.type == 'image' %}
{%- set seen.images = true %}{% endif %}{% endfor %}{% endfor %}
{%- if seen.images and system != '' %}
{{- raise_exception('Prompting with images is incompatible with system messages.') }}{% endif %}
{%- if not seen.images %}[system]{{ system }}{% endif %}
{%- for m in messages %}[{{ m.role }}]"""
    + PARTS
    + "{% endfor %}[assistant]"
)

GEMMA_3 = (
    """
{%- if messages[0].role == 'system' %}
{%- if messages[0].content is string %}{% set first = messages[0].content %}
{%- else %}{% set first = messages[0].content[0].text %}{% endif %}
{%- set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}
{%- for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant') }}{% endif -%}
[{{ m.role }}]{% if loop.first %}{{ first }} {% endif %}"""
    + PARTS
    + "{% endfor %}[model]"
)

GEMMA_2 = (
    """
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for m in messages %}[{{ m.role }}]"""
    + PARTS
    + "{% endfor %}[model]"
)

SYSTEM_IS_TEXT = (
    """
{%- for m in messages %}{% if m.role == 'system' %}{{ '[system]' + m.content }}{% else -%}
[{{ m.role }}]"""
    + PARTS
    + "{% endif %}{% endfor %}[assistant]"
)

ALL_IS_TEXT = "{% for m in messages %}{{ '[' + m.role + ']' + m.content }}{% endfor %}"
ALL_IS_PRINTED = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"

ALWAYS_RAISES = "{{ raise_exception('Not today.') }}"
TWICE = (
    """
{%- for m in messages %}[{{ m.role }}]"""
    + PARTS
    + """{% endfor %}
{%- for m in messages if m.role == 'system' %}{{ m.content[0].text }}{% endfor %}[assistant]"""
)
BLIND = """
{%- for m in messages %}[{{ m.role }}]{% for part in m.content %}{{ part.text }}{% endfor %}
{%- endfor %}[assistant]"""
OWN_SYSTEM = (
    """
{%- if messages[0].role != 'system' %}[system]Be kind.{% endif %}
{%- for m in messages %}[{{ m.role }}]"""
    + PARTS
    + "{% endfor %}[assistant]"
)

MARK = "<|image_pad|>"
NO_WAY = "; choose another model, or mend its chat template"
FRONT = (
    "the policy's chat template has no system message (beside images): the system prompt stands in "
    "front of the problem"
)


@pytest.fixture(scope="module")
def processor(tiny_policy):
    return load_chat(SamplingConfig(model=str(tiny_policy))).processor


@pytest.fixture
def chat_of(processor, monkeypatch):
    def make(template: str) -> Chat:
        monkeypatch.setattr(processor, "chat_template", template)
        return Chat(processor)

    return make


@pytest.fixture
def check(chat_of, tmp_path, png):
    def check(template: str, *, images: bool, own: str | None = None, **options) -> list[str]:
        (tmp_path / "x.png").write_bytes(png)
        asked = [{"role": "user", "content": "how many?"}]
        system = [] if own is None else [{"role": "system", "content": own}]
        row = {"prompt": [*system, *asked], "answer": "4"} | ({"image": "x.png"} if images else {})
        (tmp_path / "a.jsonl").write_text(json.dumps(row))
        config = ProfileConfig(
            dataset=str(tmp_path / "a.jsonl"), out="run", model="m", problem_column="prompt",
            **options,
        )  # fmt: skip
        reader, said = open_dataset(config.source), []
        check_first_rows(
            reader, config, pixel_limit=10**8, chat=lambda: chat_of(template), say=said.append
        )
        return said

    return check


def asked(*, images: int = 0, system: str = "", problem: str = "how many?") -> Prompt:
    text = {"type": "text", "text": problem}
    user = {"role": "user", "content": [*[{"type": "image"}] * images, text]}
    said = {"role": "system", "content": [{"type": "text", "text": system}]}
    messages = [said, user] if system else [user]
    return Prompt(sample_id="", messages=messages, images=(None,) * images)


# Each as its policy was trained, worked out from the template by hand: the system text once, as a
# text, and the image where the user's turn has it.
@pytest.mark.parametrize(
    ("template", "with_image", "without"),
    [
        (LLAMA_VISION, f"[user]{MARK}Think.\n\nhow many?[assistant]",
                       "[system][user]Think.\n\nhow many?[assistant]"),
        (GEMMA_3, f"[user]Think. {MARK}how many?[model]", "[user]Think. how many?[model]"),
        (GEMMA_2, f"[user]{MARK}Think.\n\nhow many?[model]", "[user]Think.\n\nhow many?[model]"),
        (SYSTEM_IS_TEXT, f"[system]Think.[user]{MARK}how many?[assistant]",
                         "[system]Think.[user]how many?[assistant]"),
        (ALL_IS_TEXT, f"[system]Think.[user]{MARK}how many?", "[system]Think.[user]how many?"),
        (ALL_IS_PRINTED, f"[system]Think.[user]{MARK}how many?", "[system]Think.[user]how many?"),
        (TWICE, f"[user]{MARK}Think.\n\nhow many?[assistant]",
                "[user]Think.\n\nhow many?[assistant]"),
    ],
)  # fmt: skip
def test_the_system_text_stands_once_in_the_form_that_a_template_takes(
    chat_of, template, with_image, without
):
    chat = chat_of(template)
    assert chat.render(asked(images=1, system="Think.")) == with_image
    assert chat.render(asked(system="Think.")) == without


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (LLAMA_VISION, [FRONT]),
        (GEMMA_2, [FRONT]),
        (GEMMA_3, []),
        (SYSTEM_IS_TEXT, []),
    ],
)
def test_a_system_prompt_in_front_of_the_problem_is_said(check, template, said):
    assert check(template, images=True) == said
    assert check(template, images=True, system_prompt="") == []


def test_a_system_prompt_of_the_template_s_own_is_said_where_none_is_given(check):
    assert check(OWN_SYSTEM, images=True) == []
    assert check(OWN_SYSTEM, images=True, system_prompt="") == [
        "no system prompt is given, and the policy's chat template writes its own: 'Be kind.'"
    ]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (ALWAYS_RAISES, "the policy's chat template raises on the prompt: Not today."),
        (BLIND, "the policy's chat template writes 0 of <|image_pad|> for 1 image"),
    ],
)
def test_a_template_that_serves_no_form_of_the_prompt_is_told_with_its_way_out(
    check, template, said
):
    with pytest.raises(ConfigError) as caught:
        check(template, images=True)
    assert str(caught.value) == said + NO_WAY


def test_a_template_without_a_place_for_images_still_takes_prompts_without(chat_of):
    chat = chat_of(BLIND)
    assert isinstance(chat.render(asked(images=1)), RefusedPrompt)
    assert chat.render(asked(system="Think.")) == "[system]Think.[user]how many?[assistant]"


def test_rows_with_a_system_message_of_their_own_are_served_alike(check):
    assert check(GEMMA_2, images=True, own="Be brief.", system_prompt="") == []


def test_a_text_that_a_template_drops_is_never_sent(chat_of):
    # It drops what the trial did not hold: texts that speak of cats.
    drops = PARTS.replace("{{ part.text }}", "{{ part.text if 'cat' not in part.text }}")
    chat = chat_of("{%- for m in messages %}[{{ m.role }}]" + drops + "{% endfor %}")
    assert chat.render(asked(problem="how many cats?")) == RefusedPrompt(
        "the policy's chat template leaves out the problem"
    )
    assert chat.render(asked(system="Count cats.")) == RefusedPrompt(
        "the policy's chat template leaves out the system prompt"
    )


def test_a_problem_that_speaks_of_parts_is_no_template_that_prints_them(chat_of):
    text = "what does [{'type': 'text'}] mean?"
    assert chat_of(GEMMA_3).render(asked(problem=text)) == f"[user] {text}[model]"


def test_whether_a_template_opens_thinking_is_asked_of_one_that_refuses_too(chat_of):
    assert not chat_of(ALWAYS_RAISES).opens_thinking


def test_an_argument_of_the_template_reaches_it_and_one_that_it_has_not_is_refused(
    tiny_policy, tmp_path
):
    copytree(tiny_policy, tmp_path / "policy")
    template = tmp_path / "policy" / "chat_template.jinja"
    template.write_text(template.read_text() + "{% if not enable_thinking %}<no>{% endif %}")
    asked = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    prompt = Prompt(sample_id="", messages=asked, images=())

    def load(**arguments):
        return load_chat(
            SamplingConfig(model=str(tmp_path / "policy"), chat_template_args=arguments)
        )

    assert load(enable_thinking=False).render(prompt).endswith("<no>")
    assert not load(enable_thinking=True).render(prompt).endswith("<no>")
    with pytest.raises(ConfigError, match="chat-template-arg enable_thinkin: the chat template of"):
        load(enable_thinkin=True)
