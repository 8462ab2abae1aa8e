"""Chat templates that would run on for ever or take all memory, and honest ones beside them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

jinja2 = pytest.importorskip("jinja2")

from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: E402

from gpt2_edge.text.chat_template import _environment, _to_json  # noqa: E402

MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "  Hello, how are you?\n"},
    {"role": "assistant", "content": "<think>so</think>\nI am well."},
    {"role": "user", "content": 'Why & "how" is it é?'},
]
# Each part of a list below holds the ones before it a thousand times over.
_LIST = "{% set l = [1.5]*1000 %}" + "{% set l = [l]*1000 %}" * 6
_LISTS = _LIST + _LIST.replace(" l ", " m ").replace("[l]", "[m]")
_TUPLES = "{% set t = (1.5,) %}{% set u = (1.5,) %}" + (
    "{% set t = (t,t,t,t,t,t,t,t,t,t) %}{% set u = (u,u,u,u,u,u,u,u,u,u) %}" * 20
)
_LONG = "{% set s = 'a'*999999 %}"
_GROWING = "{% set ns = namespace(x=START) %}{% for i in range(99999) %}{% set ns.x = STEP %}"


def growing(start: str, step: str, then: str = "") -> str:
    return _GROWING.replace("START", start).replace("STEP", step) + "{% endfor %}" + then


TOO_MUCH = {
    "loops in loops": "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3,
    "a loop with a long body": "{% for i in range(99999) %}" + "{% set a = i %}" * 3000
    + "{% endfor %}",
    "macros that call themselves": "{% macro m(n) %}{% if n > 0 %}{{ m(n-1) }}{{ m(n-1) }}"
    "{% endif %}{% endmacro %}{{ m(60) }}",
    "a macro that calls its caller": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 30 + "x" + "{% endcall %}" * 30,
    "a loop that calls itself": "{% for i in range(99999) recursive %}{{ loop(range(99999)) }}"
    "{% endfor %}",
    "blocks": "{% block a %}{% for i in range(999) %}{{ self.b() }}{% endfor %}{% endblock %}"
    "{% block b %}{% for i in range(99999) %}{% endfor %}{% endblock %}",
    "calls": "{% set c = cycler(1, 2) %}{% for i in range(99999) %}{% for j in range(99999) %}"
    "{{ c.next() }}{% endfor %}{% endfor %}",
    "texts put together": growing("'xxxxxxxx'", "ns.x ~ ns.x"),
    "texts added": growing("'xxxxxxxx'", "ns.x + ns.x"),
    "lists added": growing("[1]", "ns.x + ns.x"),
    "many long texts": growing("[]", "ns.x + ['x'*1000000]"),
    "texts in a block": "{% set s = 'x'*99 %}" + "{% set s %}{{ s }}{{ s }}{% endset %}" * 60,
    "the template's own text": "{% set s %}{% for i in range(99999) %}" + "y" * 60000
    + "{% endfor %}{% endset %}",
    "a list in lists": _LIST + "{{ l }}",
    "a list in lists as JSON": _LIST + "{{ l|tojson }}",
    "a list in lists joined": _LIST + "{{ l|join }}",
    "a list in lists in capitals": _LIST + "{{ l|upper }}",
    "a list in lists put to a text": _LIST + "{% set x = l ~ 'x' %}",
    "lists compared": _LISTS + "{% if l == m %}{% endif %}",
    "lists tested": _LISTS + "{% if l is eq(m) %}{% endif %}",
    "tuples as keys": _TUPLES + "{% set d = {t: 1} %}",
    "tuples looked up": _TUPLES + "{% set d = {1: 1} %}{{ d[t] }}",
    "tuples asked for": _TUPLES + "{% set d = {1: 1} %}{{ d.get(t) }}",
    "tuples sought": _TUPLES + "{% if u in [t] %}{% endif %}",
    "tuples found": _TUPLES + "{{ [t].index(u) }}",
    "tuples sorted": _TUPLES + "{{ [t, u]|sort }}",
    "a text replaced": _LONG + "{{ s.replace('a', s) }}",
    "a text replaced by a filter": _LONG + "{{ s|replace('a', s) }}",
    "a text between": _LONG + "{{ s.join(range(99999)|map('string')) }}",
    "a text between, by a filter": _LONG + "{{ range(99999)|join(s) }}",
    "a text often": _LONG + "{{ ([s]*999999)|join }}",
    "a text often, one by one": _LONG + "{{ ([s]*999999)|map('upper')|join }}",
    "a text in front of lines": "{% set s = '\n'*999999 %}{{ s|indent(s) }}",
    "a text between in JSON": _LONG + "{{ ([1]*99999)|tojson(separators=(s, s)) }}",
    "a text in front in JSON": _LONG + "{{ ([1]*99999)|tojson(indent=s) }}",
    "a text cut": _LONG + "{{ s.strip('b'*99999 + 'a') }}",
    "a text cut by a filter": _LONG + "{{ s|trim('b'*99999 + 'a') }}",
    "a text sought": _LONG + "{{ s.rfind('b' + 'a'*99999) }}",
    "a text split": _LONG + "{% for i in range(999) %}{% set y = s.split('a') %}{% endfor %}",
    "a text looked through": _LONG + "{% for i in range(99999) %}{% if 'y' in s %}{% endif %}"
    "{% endfor %}",
    "a text sliced": _LONG + "{% for i in range(99999) %}{% set y = s[1:] %}{% endfor %}",
    "a list sliced": "{% set x = range(99999)|list %}{% for i in range(99999) %}"
    "{% set y = x[1:] %}{% endfor %}",
    "each sought among all": "{% set x = range(99999)|list %}{{ x|select('in', x)|list|length }}",
    "lists of each": "{% set x = [range(99999)|list]*99999 %}{{ x|map('list')|list|length }}",
    "a long way down": "{% set x = [{'a': 1}]*99999 %}{{ x|map(attribute='" + "a." * 20000
    + "a', default={'a': 1})|list }}",
    "a long way down to a group": "{% for i in range(99) %}{{ ([{'a': 1}]*2000)|groupby('"
    + "a." * 20000 + "a', default={'a': 1})|length }}{% endfor %}",
    "the largest, again and again": "{% set l = range(99999)|list %}{% for i in range(99999) %}"
    "{{ l|max }}{% endfor %}",
}  # fmt: skip
REFUSED = {
    "a deep tuple as a key": (growing("(1,)", "(ns.x,)", "{% set d = {ns.x: 1} %}"), "too deeply"),
    "a deep list": (growing("[1]", "[ns.x]", "{{ ns.x }}"), "too deeply"),
    "a namespace that holds itself": (
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "neither written nor compared",
    ),
    "an endless macro": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    "an endless block": ("{% block a %}{{ self.a() }}{% endblock %}", "recursion"),
    "numbers added": (growing("1", "ns.x + ns.x"), "too large"),
    "numbers multiplied": (growing("1000", "ns.x * 1000"), "too large"),
    "a power": ("{{ 9 ** 9 ** 9 }}", "too large"),
    "decimals": ("{{ 1.5|round(999999999, 'ceil') }}", "too large"),
    "a wide indent": ("{{ 'a\n'|indent(999999999) }}", "too large"),
    "a wide JSON": ("{{ [1]|tojson(indent=999999999) }}", "too large"),
    "a width": ("{{ 'x'|center(999999999) }}", "No filter named 'center'"),
    "a width of a method": ("{{ 'x'.center(999999999) }}", "'center' of 'str'"),
    "tabs": ("{{ '\\t'.expandtabs(999999999) }}", "'expandtabs' of 'str'"),
    "bytes": ("{{ (1).to_bytes(999999999) }}", "'to_bytes' of 'int'"),
    "a format": ("{{ '{:>999999999}'.format(1) }}", "'format' of 'str'"),
    "a format map": ("{{ '{a:>999999999}'.format_map({'a': 1}) }}", "'format_map' of 'str'"),
    "a format of %": ("{{ '%999999999d' % 1 }}", "not formatted with %"),
    "a format by attribute": (
        "{{ (['{:>999999999}']|map(attribute='format')|first)(1) }}",
        "'format' of 'str'",
    ),
    "parts": ("{{ [1]|batch(999999999, 0)|list }}", "No filter named 'batch'"),
    "words": ("{{ lipsum(n=99999999) }}", "'lipsum' is undefined"),
    "a long template": ("{{ a }}" * 20000, "140000 characters, more than 65536"),
    "many parentheses": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion"),
    "many sums": ("{{ 1" + "+1" * 30000 + " }}", "recursion"),
    "many digits": ("{{ " + "9" * 60000 + " }}", "limit (4300"),
}


def rendered(source: str, **more: Any) -> str:
    environment = _environment()
    template = environment.metered(source)
    environment.begin()
    text: str = template.render(messages=MESSAGES, add_generation_prompt=True, **more)
    return text


def failure_of(source: str) -> str:
    """What the template raises, in a thread, so that one which runs on fails."""
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            rendered(source)
            found.append(None)
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert found, "it runs on"
    assert found[0] is not None, "it is rendered"
    return str(found[0])


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_template_that_does_too_much_is_stopped(name: str) -> None:
    assert failure_of(TOO_MUCH[name]) == "it does more than any conversation needs"


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_asks_for_too_much_is_refused(name: str) -> None:
    source, said = REFUSED[name]
    assert said in failure_of(source)


def test_a_budget_is_for_one_rendering() -> None:
    environment = _environment()
    template = environment.metered("{% for i in range(99999) %}{% set x = 'a' ~ i %}{% endfor %}")
    for _ in range(9):
        environment.begin()
        assert template.render() == ""
    environment.begin()
    texts = (template.render() for _ in range(99))
    with pytest.raises(jinja2.TemplateError, match="more than any conversation"):
        list(texts)


# What templates of the hub do, in our own words.
HONEST = [
    "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}{%- set first = messages[0].content|"
    "trim %}{%- set rest = messages[1:] %}{%- else %}{%- set first = '' %}{%- set rest = messages "
    "%}{%- endif %}<|sys|>{{ first }}\n{% for m in rest %}{% if (m['role'] == 'user') != "
    "(loop.index0 % 2 == 0) %}{{ raise_exception('no') }}{% endif %}{{ '[' + m['role'] + ']' }}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}{{ eos_token if not loop.last }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}",
    "{% set ns = namespace(last=messages|length - 1, found=false) %}{% for m in messages[::-1] %}"
    "{% set index = messages|length - 1 - loop.index0 %}{% if m.role == 'user' and not ns.found and"
    " not (m.content.startswith('<') and m.content.endswith('>')) %}{% set ns.last = index %}"
    "{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.last }}",
    "{% macro shown(value, depth=0) -%}{% if value is string %}{{ '\"' + value|replace('\"', '\\\\"
    "\"') ~ '\"' }}{% elif value is boolean %}{{ 'yes' if value else 'no' }}{% elif value is "
    "mapping %}{ {%- for key, item in value|dictsort %}{{ key }}:{{ shown(item, depth=depth + 1) }}"
    "{{ ',' if not loop.last }}{% endfor %}}{% elif value is sequence %}[{% for item in value %}"
    "{{ shown(item, depth + 1) }}{{ ', ' if not loop.last }}{% endfor %}]{% else %}{{ value }}"
    "{% endif %}{%- endmacro %}{{ shown({'b': [1, 2.5, true, none], 'a': 'x\"y', 'c': (1,)}) }}"
    "{{ shown(messages) }}",
    "{{ messages|tojson }}{{ messages|tojson(indent=4) }}{{ messages|map(attribute='role')|unique|"
    "join(', ') }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ messages|"
    "rejectattr('role', 'in', ['user', 'system'])|map(attribute='content')|first }}{{ (messages|"
    "last)['content']|e }}{{ messages|groupby('role')|map(attribute='grouper')|list }}",
    "{% for key, value in messages[0].items() %}{{ loop.cycle('a', 'b') }}{{ key|title }}="
    "{{ value|indent(2) }}{{ loop.length }}{{ loop.revindex }}{% endfor %}{{ messages[1].get('name'"
    ", 'nobody')|upper }}{{ messages[0].keys()|list|join('-') }}{{ '%s' }}{{ 7 // 2 }}{{ 7 % 4 }}"
    "{{ 1.25|round(1) }}{{ '12'|int + 1 }}{{ -3|abs }}{{ [3, 1, 2]|sort|reverse|list }}{{ [1]*3 }}"
    "{{ 'ab'*2 }}{{ undefined_name }}{{ undefined_name|default('d') }}{{ 'a' in 'cat' }}"
    "{{ 2 in [1, 2] }}{{ {'a': {'b': 1}}.a.b }}{{ none is none }}{{ [[1, 2], [3]][0][1] }}",
    "{% macro wrapped(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% for m in "
    "messages if m.role != 'system' %}{% call wrapped(m.role) %}{{ m.content | trim }}{% endcall %}"
    "{% else %}none{% endfor %}{% filter upper %}end{% endfilter %}{% set b %}x{{ 1 }}{% endset %}"
    "{{ b }}{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}"
    "{% endfor %}{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 3 %}"
    "{% break %}{% endif %}{{ x }}{{ loop.changed(x // 2) }}{% endfor %}",
]


@pytest.mark.parametrize("source", HONEST)
def test_an_honest_template_gives_what_it_gives_in_plain_jinja(source: str) -> None:
    plain = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    plain.filters["tojson"] = _to_json
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    expected = plain.from_string(source).render(
        messages=MESSAGES, add_generation_prompt=True, **special
    )
    assert rendered(source, **special) == expected
    assert expected


def test_a_long_conversation_is_far_from_the_bound() -> None:
    environment = _environment()
    template = environment.metered(HONEST[0])
    messages = [{"role": "user", "content": "word " * 400}, {"role": "assistant", "content": "so"}]
    environment.begin()
    text = template.render(messages=messages * 100, add_generation_prompt=True)
    assert len(text) > 200_000
    environment.pay(4_500_000)  # which are left
