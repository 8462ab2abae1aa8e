"""Chat templates give the ids that transformers' apply_chat_template gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2_edge.text.chat_template import TemplateTurns
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge.text.turns import Turn

pytestmark = pytest.mark.optimum

# In the manner of ChatML; with line breaks that trim_blocks is for; with functions and strip.
TEMPLATES = [
    "{% for message in messages %}{{'<|start|>' + message['role'] + '\n' + message['content'] + "
    "'<|end|>\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}"
    "{% endif %}",
    "{% for message in messages %}\n    {% if message.role == 'user' %}\n{{ '<|user|>\n' + "
    "message.content + eos_token }}\n    {% else %}\n{{ '<|other|>\n' + message.content + "
    "eos_token }}\n    {% endif %}\n{% if loop.last and add_generation_prompt %}\n"
    "{{ '<|other|>' }}\n{% endif %}\n{% endfor %}",
    "{{ bos_token }}{% for message in messages %}{% if message['role'] not in ['user', "
    "'assistant', 'system'] %}{{ raise_exception('no') }}{% endif %}"
    "{% set said = message['content'].strip() %}"
    "{% if message['role'] == 'assistant' %}{{ ' ' + said + ' ' + eos_token }}{% else %}"
    "{{ '[SAY] ' + (said | tojson) + ' [/SAY]' }}{% endif %}{% endfor %}",
    "{% if tools is not none %}Tools: {% for tool in tools %}{{ tool }}{% endfor %}{% endif %}"
    "{% if documents is none %}{{ tools }}{% endif %}{{ messages[-1].content }}",
    "{% for message in messages %}\n{{ message.role }}: {% if message.role == 'assistant' %}\n"
    "    {%- generation %}\n{% set end = eos_token %}{{ message.content + end }}\n"
    "    {% endgeneration %}\n{% else %}{{ message.content }}{{ end }}\n{% endif %}\n{% endfor %}",
]
SAID = [
    ("Hello, how are you?", "I am well, sir."),
    ("  Why\n is it é so? ", "So."),
    ("{{ x }}", "y"),
]


@pytest.mark.parametrize("system", [None, "Be kind."])
@pytest.mark.parametrize("template", TEMPLATES)
def test_ids_are_those_of_transformers(
    sample_checkpoint: Path, template: str, system: str | None
) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("jinja2")
    theirs = transformers.AutoTokenizer.from_pretrained(str(sample_checkpoint))
    tokenizer = Tokenizer(sample_checkpoint / "tokenizer.json")
    special = {"bos_token": theirs.bos_token, "eos_token": theirs.eos_token}

    def ours() -> TemplateTurns:
        return TemplateTurns(template, tokenizer, special, (0,), "here", system)

    growing, turns = ours(), list[Turn]()
    messages = [] if system is None else [{"role": "system", "content": system}]
    for message, answer in SAID:
        messages.append({"role": "user", "content": message})
        expected = theirs.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True
        )
        assert ours().tokens(turns, message) == expected
        assert growing.tokens(turns, message) == expected
        messages.append({"role": "assistant", "content": answer})
        turns.append(Turn(message, (*tokenizer.encode(answer), 0), answer))
