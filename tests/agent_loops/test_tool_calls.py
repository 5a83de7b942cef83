"""Calls as models write them: what is mended, and what is said of the rest."""

import pytest

from verl_coder.agent_loops.tool_calls import CallMistake, call_texts, check_call, placed_calls, read_call
from verl_coder.protocols import Tags

TAGS = Tags("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
SCHEMAS = {
    "python_session": {
        "properties": {"code": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["code"],
    }
}
PLAIN = '{"name": "python_session", "arguments": {"code": "print(1)"}}'


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        '{"name": "python_session", "arguments": "{\\"code\\": \\"print(1)\\"}"}',
        '{"name": "python_session", "parameters": {"code": "print(1)"}}',
        "{'name': 'python_session', 'arguments': {'code': 'print(1)'}}",
        f"```json\n{PLAIN}\n```",
        PLAIN[:-1],
        '{"function": {"name": "python_session", "arguments": {"code": "print(1)"}}}',
    ],
)
def test_a_call_with_one_meaning_is_read(text):
    assert read_call(text) == ("python_session", {"code": "print(1)"})


def test_raw_line_ends_and_tabs_in_a_string_are_the_programs():
    name, arguments = read_call('{"name": "f", "arguments": {"code": "if x:\n\tprint(1)\n"}}')
    assert (name, arguments) == ("f", {"code": "if x:\n\tprint(1)\n"})


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (r"s = \'\'", "s = ''"),
        ("s = \\'\\'\nt = 1", "s = ''\nt = 1"),
        (r"re.sub(r'\d+\s', '', t)", r"re.sub(r'\d+\s', '', t)"),
        (r"x = '\\d'; y = \'a\'", r"x = '\d'; y = 'a'"),
        (r"print(\"\\'\")", 'print("\\\'")'),
        (r"x = '\0'", r"x = '\0'"),
    ],
)
def test_an_escape_that_json_does_not_have_is_the_programs(written: str, code: str) -> None:
    text = f'{{"name": "f", "arguments": {{"code": "{written}"}}}}'
    assert read_call(text) == ("f", {"code": code})


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ('print("a")', 'print("a")'),
        (r'print("a", \"b\")' + "\nx = 1", 'print("a", "b")\nx = 1'),
        (r'print("a\n", \'b\')', "print(\"a\n\", 'b')"),
        ('d = {"a": {"b": 1}}', 'd = {"a": {"b": 1}}'),
        (r's = ""\nprint(s)', 's = ""\nprint(s)'),
        ('print("".join(x))', 'print("".join(x))'),
        (r'x = "" or ""\ny = ("a" "b")', 'x = "" or ""\ny = ("a" "b")'),
        (r'f("""a""")', 'f("""a""")'),
    ],
)
def test_bare_quotes_in_the_one_text_of_a_call_are_the_programs(written: str, code: str) -> None:
    for end in ("}}", " }\n}"):
        text = f'{{"name": "f", "arguments": {{"code": "{written}"{end}'
        assert read_call(text) == ("f", {"code": code})


def test_three_quotes_around_the_whole_text_are_not_the_programs() -> None:
    text = '{"name": "f", "arguments": {"code": """\ns = ""\nprint("a")\n"""}}'
    assert read_call(text) == ("f", {"code": '\ns = ""\nprint("a")\n'})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{'name': 'f', 'arguments': {'code': 'print(''.join(x))'}}", "no JSON"),
        ('{"name": "f", "arguments": {"code": "s = ""\\nx", "n": 1}}', "no JSON"),
        ('{"name": "f", "code": "print(1)"}', "the call has 'code' and no"),
        ('{"name": "f", "arguments": {"code": "print(1', "no JSON"),
        ('{"name": "f", "arguments": {"code": "print("a")', "no JSON"),
        ('{"name": "f", "arguments": {"code": "print("a")", "commands": "run"}}', "no JSON"),
        ('{"name": "f", "arguments": {"code": "d = {"a", "b": "c"}"}}', "no JSON"),
        ("print(1)", "no JSON"),
        ("", "no JSON"),
        ("[1, 2]", "an array"),
        ('{"arguments": {}}', 'no "name"'),
        ('{"name": "f", "arguments": [1]}', "an array; it must be an object"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_call_that_cannot_be_read_is_told_why(text, words):
    with pytest.raises(CallMistake) as caught:
        read_call(text)
    assert words in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("python_sesion", {"code": ""}, "did you mean python_session?"),
        ("bash", {"code": ""}, "there are python_session"),
        ("python_session", {}, "lacks the argument 'code'"),
        ("python_session", {"code": None}, "lacks the argument 'code'"),
        ("python_session", {"Codes": "x"}, "lacks the argument 'code'; is 'Codes' meant for it?"),
        ("python_session", {"code": 3}, "is a number; it must be string"),
        ("python_session", {"code": "", "codes": ""}, "did you mean code?"),
        ("python_session", {"code": "", "limit": True}, "is a boolean; it must be integer"),
    ],
)
def test_a_call_that_does_not_fit_its_tool_is_told_why(name, arguments, words):
    with pytest.raises(CallMistake, match=None) as caught:
        check_call(name, arguments, SCHEMAS)
    assert words in str(caught.value)


def test_a_call_that_fits_is_let_through():
    check_call("python_session", {"code": "", "limit": 3}, SCHEMAS)


@pytest.mark.parametrize(
    ("turn", "texts"),
    [
        (f"<tool_call>\n{PLAIN}\n</tool_call>", [PLAIN]),
        (f"<tool_call>{PLAIN}</tool_call> and <tool_call>x</tool_call>", [PLAIN, "x"]),
        (f"<think>a <tool_call>{{}}</tool_call></think><tool_call>{PLAIN}</tool_call>", [PLAIN]),
        (f"<tool_call>{PLAIN}", [PLAIN]),
        ("I could use <tool_call> here, but I do not", []),
        ("```python\nx = 1\n```", []),
    ],
)
def test_the_calls_of_a_turn_are_found(turn, texts):
    assert call_texts(turn, TAGS) == texts
    for place, text in placed_calls(turn, TAGS):
        assert turn[place:].startswith("<tool_call>") and turn[place + 11 :].lstrip().startswith(text)
