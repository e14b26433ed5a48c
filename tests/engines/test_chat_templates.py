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
from durian.engines.chat import load_chat
from durian.errors import ConfigError
from durian.measuring.first_rows import check_first_rows
from durian.readers.dataset import open_dataset
from durian.samples import Prompt

PARTS = """
{%- for part in m.content %}{% if part.type == 'image' %}<img>{% else %}{{ part.text }}
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

RAISES = "the policy's chat template raises on the prompt: "
PRINTS = "the policy's chat template takes no parts of a message: it prints them as a list"
NO_SYSTEM = (
    "; it takes no system message: pass --system-prompt '', and say what it says in a "
    "--prompt-template"
)
NO_WAY = "; choose another model, or mend its chat template"


@pytest.fixture(scope="module")
def chat(tiny_policy):
    return load_chat(SamplingConfig(model=str(tiny_policy)))


@pytest.fixture
def check(chat, tmp_path, png):
    def check(template: str, *, images: bool, own: str | None = None, **options) -> None:
        (tmp_path / "x.png").write_bytes(png)
        asked = [{"role": "user", "content": "how many?"}]
        system = [] if own is None else [{"role": "system", "content": own}]
        row = {"prompt": [*system, *asked], "answer": "4"} | ({"image": "x.png"} if images else {})
        (tmp_path / "a.jsonl").write_text(json.dumps(row))
        chat.processor.chat_template = template
        config = ProfileConfig(
            dataset=str(tmp_path / "a.jsonl"), out="run", model="m", problem_column="prompt",
            **options,
        )  # fmt: skip
        reader = open_dataset(config.source)
        check_first_rows(reader, config, pixel_limit=10**8, chat=lambda: chat)

    return check


@pytest.mark.parametrize(
    ("template", "images", "said"),
    [
        (LLAMA_VISION, True, RAISES + "Prompting with images is incompatible with system messages."
                             + NO_SYSTEM),
        (LLAMA_VISION, False, PRINTS + NO_SYSTEM),  # its system message is trimmed as a text
        (GEMMA_3, True, None),
        (GEMMA_2, True, RAISES + "System role not supported" + NO_SYSTEM),
        (GEMMA_2, False, RAISES + "System role not supported" + NO_SYSTEM),
        (SYSTEM_IS_TEXT, True, RAISES + 'can only concatenate str (not "list") to str' + NO_SYSTEM),
        (ALL_IS_TEXT, True, RAISES + 'can only concatenate str (not "list") to str' + NO_WAY),
        (ALL_IS_PRINTED, True, PRINTS + NO_WAY),
    ],
)  # fmt: skip
def test_a_template_that_refuses_the_prompt_is_told_with_its_way_out(check, template, images, said):
    if said is None:
        return check(template, images=images)
    with pytest.raises(ConfigError) as caught:
        check(template, images=images)
    assert str(caught.value) == said
    if said.endswith(NO_SYSTEM):  # the way out leads out
        check(template, images=images, system_prompt="")
    return None


def test_rows_with_a_system_message_of_their_own_are_not_told_to_leave_out_the_run_s(check):
    with pytest.raises(ConfigError, match="the rows bring their own: choose another model"):
        check(GEMMA_2, images=True, own="Be brief.", system_prompt="")


def test_a_problem_that_speaks_of_parts_is_no_template_that_prints_them(chat):
    chat.processor.chat_template = GEMMA_3
    text = "what does [{'type': 'text'}] mean?"
    asked = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    assert chat.render(Prompt(sample_id="", messages=asked, images=())) == f"[user] {text}[model]"


def test_whether_a_template_opens_thinking_is_asked_of_one_that_refuses_too(chat):
    chat.processor.chat_template, chat._opens = ALL_IS_TEXT, None
    assert not chat.opens_thinking
    asked = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    prompt = Prompt(sample_id="", messages=asked, images=())
    assert isinstance(chat.render(prompt), RefusedPrompt)


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
