"""A command's options as a section of a YAML, and back."""

import pytest
from command_lines import parse

from verl_coder.pipeline.commands import EVALUATE, MIX, SFT, TEACHERS, TRAIN, PartCommand, dataset_command
from verl_coder.pipeline.options import arguments, command_options, given_values, section_of

PARTS = [MIX, *TEACHERS.values(), SFT, TRAIN, EVALUATE, dataset_command("sample"), dataset_command("mbpp")]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: " ".join(part.words))
def test_every_option_goes_through_the_commands_own_parser(part: PartCommand) -> None:
    values = {}
    for option in command_options(part.function).values():
        least = option.minimum or 0
        one = {int: int(least) + 1, float: 0.5, bool: True}.get(option.kind, "text")
        choices = getattr(option.kind, "__args__", None)
        one = choices[-1] if choices else one
        values[option.name] = [one, one] if option.many else one
    found = parse([*part.words, *arguments(part.function, values)])
    assert found.pop("overrides") == ()
    assert {name: found[name] for name in values if values[name] is True} == {
        name: True for name in values if values[name] is True
    }
    assert all(
        str(found[name]) == str(values[name])
        for name in values
        if isinstance(values[name], str | int | float)
    )


def test_a_switch_is_turned_off_where_it_can_be() -> None:
    generate = TEACHERS["generate"].function
    assert arguments(generate, {"structured_calls": False}) == ["--no-structured-calls"]
    assert arguments(generate, {"learn_failures": False}) == []


def test_only_what_the_yaml_says_is_given() -> None:
    section = section_of("Options", SFT.function, SFT.own)
    assert given_values(section.model_validate({"epochs": 2})) == {"epochs": 2}


def test_the_pipelines_own_options_are_not_in_the_section() -> None:
    assert not {"model", "out"} & set(section_of("Options", SFT.function, SFT.own).model_fields)
