"""The family is right by construction: what its rows say holds of its own programs."""

import random

import pytest

from verl_coder.chains.problems import KINDS, Chain, chains, draw
from verl_coder.chains.wording import TOOLS, ChainRows, check_source, visible_test
from verl_coder.errors import DataError
from verl_coder.problems import FunctionTests, Problem
from verl_coder.prompts import visible_tests_of

SOME = [draw(kind, depth, random.Random(n)) for kind in KINDS for depth in (1, 2, 3, 4) for n in range(8)]


def namespace(chain: Chain, choice: list[int] | tuple[int, ...]) -> dict:
    found: dict = {}
    exec(check_source(chain) + chain.program(choice), found)
    return found


def test_the_right_program_passes_check_the_visible_and_the_hidden_tests(capsys):
    for chain in SOME:
        program = namespace(chain, chain.right)
        exec(f"{visible_test(chain)}\ncheck()", program)
        suite = ChainRows(tool="none").problem(chain, split="rl").tests
        assert isinstance(suite, FunctionTests)
        assert all(program["f"](*case.args) == case.expected for case in suite.tests)
    assert capsys.readouterr().out == "ok\n" * len(SOME)


def test_check_stops_at_every_wrong_step_and_a_hidden_case_tells_it():
    for chain in SOME:
        for place, step in enumerate(chain.steps):
            for reading in range(len(step.readings)):
                if reading == chain.right[place]:
                    continue
                choice = [*chain.right]
                choice[place] = reading
                program = namespace(chain, choice)
                with pytest.raises(AssertionError) as caught:
                    program["check"]()
                assert str(caught.value) == ("" if chain.kind == "bug" else f"{step.name} is wrong")
                assert any(program["f"](x) != chain.values(x)[-1] for x in chain.hidden)


def test_every_combination_of_right_readings_is_as_frequent_as_any_other():
    drawn = [chain.right for chain in chains("heldout", 24, seed=0, kinds=("state",), depths=(3,))]
    assert len(set(drawn)) == 8 and all(drawn.count(right) == 3 for right in drawn)
    assert all(chain.first != chain.right for chain in SOME if chain.kind == "bug")


def test_rows_differ_between_tools_in_the_prompt_and_the_loop_only():
    chain = SOME[20]
    for wording in ("full", "tiny"):
        rows = [ChainRows(tool=tool, wording=wording).problem(chain, split="rl").to_row() for tool in TOOLS]
        assert len({row["prompt"][0]["content"] for row in rows}) == len(TOOLS)
        for row in rows:
            assert Problem.from_row(row).problem_id == chain.identity
            del row["prompt"], row["agent_name"]
        assert all(row == rows[0] for row in rows)


def test_the_full_wording_shows_its_tests_where_the_tools_look_for_them():
    chain = next(chain for chain in SOME if chain.kind == "bug")
    prompt = ChainRows(tool="debugger").problem(chain, split="rl").prompt
    assert visible_tests_of(prompt) == f"check()\n{visible_test(chain)}"


def test_the_same_seed_draws_the_same_and_no_statement_is_in_two_splits():
    drawn = {
        split: [chain.identity for chain in chains(split, 90, seed=3)] for split in ("sft", "rl", "heldout")
    }
    assert drawn["rl"] == [chain.identity for chain in chains("rl", 90, seed=3)]
    assert drawn["rl"] != [chain.identity for chain in chains("rl", 90, seed=4)]
    sets = [set(each) for each in drawn.values()]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert len(sets[1]) == 90


def test_a_depth_that_is_not_there_is_named():
    with pytest.raises(DataError, match="depth is 9: use 1 to 6"):
        next(chains("rl", 1, seed=0, depths=(9,)))
