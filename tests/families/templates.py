"""Chat templates of the shape that each family's public policies have, in Durian's own words.

The shape is all that matters: which role may hold images, where a system message goes and as what
it must come, who writes the token that begins a text, what stands there when nobody asked for it.
"""

_PARTS = """
{%- if message.content is string -%}{{ message.content }}
{%- else -%}{%- for part in message.content -%}
{%- if part.type == 'image' -%}IMAGE{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}
{%- endfor -%}{%- endif -%}"""


def _parts(image: str) -> str:
    return _PARTS.replace("IMAGE", "{{ '" + image + "' }}")


_QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"

# A system message stands there even where none is given.
QWEN2 = (
    """
{%- for message in messages -%}
{%- if loop.first and message.role != 'system' -%}
{{ '<|im_start|>system\n' }}Please help as well as you can.{{ '<|im_end|>\n' }}
{%- endif -%}
{{ '<|im_start|>' + message.role + '\n' }}"""
    + _parts(_QWEN_IMAGE)
    + """{{ '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"""
)

# As above, without a system message of its own.
QWEN3 = (
    """
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\n' }}"""
    + _parts(_QWEN_IMAGE)
    + """{{ '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"""
)

INTERNVL = QWEN3.replace(_QWEN_IMAGE, "<IMG_CONTEXT>\\n")

_IMAGES_FIRST = """
{%- for part in message.content if part.type == 'image' -%}{{ '<image>' }}SEP{%- endfor -%}
{%- for part in message.content if part.type == 'text' -%}{{ part.text }}{%- endfor -%}"""
_LINE = _IMAGES_FIRST.replace("SEP", "{{ '\n' }}")

# No token that begins a text: the tokenizer adds it. Images come before the text.
LLAVA = (
    """
{%- for message in messages -%}
{%- if message.role != 'system' -%}{{ message.role | upper + ': ' }}{%- endif -%}"""
    + _LINE
    + """{{ ' ' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"""
)

# As above; a system message is read as the first of its parts.
LLAVA_NEXT = (
    """
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{ '<<SYS>>\n' + message.content[0].text + '\n<</SYS>>\n\n' }}
{%- elif message.role == 'user' -%}{{ '[INST] ' }}"""
    + _LINE
    + """{{ ' [/INST]' }}
{%- elif message.role == 'assistant' -%}{{ ' ' + message.content[0].text + '</s> ' }}
{%- else -%}{{ raise_exception('No such role.') }}{%- endif -%}
{%- endfor -%}"""
)

LLAVA_ONEVISION = (
    """
{%- for message in messages -%}{{ '<|im_start|>' + message.role + ' ' }}"""
    + _IMAGES_FIRST.replace("SEP", "")
    + """{{ '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"""
)

# The template begins the text, and so does the tokenizer; no system role: its text begins the
# first turn. Texts are trimmed.
GEMMA3 = """
{{- bos_token -}}
{%- set before = '' -%}{%- set turns = messages -%}
{%- if messages[0].role == 'system' -%}
{%- set turns = messages[1:] -%}
{%- if messages[0].content is string -%}{%- set before = messages[0].content + '\n\n' -%}
{%- else -%}{%- set before = messages[0].content[0].text + '\n\n' -%}{%- endif -%}
{%- endif -%}
{%- for message in turns -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('Turns must alternate.') }}{%- endif -%}
{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
{%- if loop.first -%}{{ before }}{%- endif -%}
{%- if message.content is string -%}{{ message.content | trim }}
{%- else -%}{%- for part in message.content -%}
{%- if part.type == 'image' -%}{{ '<start_of_image>' }}
{%- elif part.type == 'text' -%}{{ part.text | trim }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"""

# A system message must be a text: of parts it prints how Python writes the list.
GLM4V = (
    """[gMASK]<sop>
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ '<|system|>\n' }}{{ message.content }}
{%- else -%}{{ '<|' + message.role + '|>\n' }}"""
    + _parts("<|begin_of_image|><|image|><|end_of_image|>")
    + """
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}"""
)

# No system message beside images; without images it must be a text, and a date stands there.
MLLAMA = (
    """
{{- bos_token -}}
{%- set turns = messages -%}{%- set system = '' -%}
{%- if messages[0].role == 'system' -%}
{%- set turns = messages[1:] -%}{%- set system = messages[0].content | trim -%}
{%- endif -%}
{%- set seen = namespace(images=false) -%}
{%- for message in turns -%}{%- if message.content is not string -%}
{%- for part in message.content if part.type == 'image' -%}{%- set seen.images = true -%}
{%- endfor -%}{%- endif -%}{%- endfor -%}
{%- if seen.images and system -%}
{{ raise_exception('No system message beside images.') }}{%- endif -%}
{%- if not seen.images -%}
{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n' + system }}
{{- '<|eot_id|>' }}{%- endif -%}
{%- for message in turns -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}"""
    + _parts("<|image|>")
    + """{{ '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}"""
)

# A system message must be a text: it is added to the last turn's mark.
PIXTRAL = (
    """
{{- bos_token -}}
{%- set turns = messages -%}{%- set system = '' -%}
{%- if messages[0].role == 'system' -%}
{%- set turns = messages[1:] -%}{%- set system = messages[0].content -%}{%- endif -%}
{%- for message in turns -%}
{%- if message.role == 'user' -%}
{%- if loop.last and system -%}{{ '[INST]' + system + '\n\n' }}
{%- else -%}{{ '[INST]' }}{%- endif -%}"""
    + _parts("[IMG]")
    + """{{ '[/INST]' }}
{%- elif message.role == 'assistant' -%}{{ message.content + eos_token }}
{%- else -%}{{ raise_exception('No such role.') }}{%- endif -%}
{%- endfor -%}"""
)

# Its own system message stands there where none is given.
MISTRAL3 = (
    """
{{- bos_token -}}
{%- set turns = messages -%}{%- set system = 'Say so when you do not know.' -%}
{%- if messages[0].role == 'system' -%}{%- set turns = messages[1:] -%}
{%- if messages[0].content is string -%}{%- set system = messages[0].content -%}
{%- else -%}{%- set system = messages[0].content[0].text -%}{%- endif -%}{%- endif -%}
{{ '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}
{%- for message in turns -%}
{%- if message.role == 'user' -%}{{ '[INST]' }}"""
    + _parts("[IMG]")
    + """{{ '[/INST]' }}
{%- elif message.role == 'assistant' -%}{{ message.content + eos_token }}
{%- else -%}{{ raise_exception('No such role.') }}{%- endif -%}
{%- endfor -%}"""
)

_IDEFICS = """{%- for message in messages -%}
{{ message.role | capitalize }}
{%- if message.content[0].type == 'image' -%}{{ ':' }}{%- else -%}{{ ': ' }}{%- endif -%}
{%- for part in message.content -%}
{%- if part.type == 'text' -%}{{ part.text }}
{%- elif part.type == 'image' -%}{{ '<image>' }}{%- endif -%}
{%- endfor -%}{{ '<end_of_utterance>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}"""

# The template begins the text; of a system message every letter is looked at as if it were a part.
IDEFICS3 = "<|begin_of_text|>" + _IDEFICS
SMOLVLM = "<|im_start|>" + _IDEFICS

PHI4 = (
    """{%- for message in messages -%}{{ '<|' + message.role + '|>' }}"""
    + _parts("<|image|>")
    + """{{ '<|end|>' }}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"""
)
