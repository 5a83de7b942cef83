"""The same problems under another protocol: the prompt's system message and the agent loop change, nothing else."""

from dataclasses import dataclass, replace

from verl_coder.errors import ConfigError
from verl_coder.problems import Problem
from verl_coder.prompts import known_system, question_of, system_prompt, visible_tests_of
from verl_coder.protocols import EVALPLUS, find_protocol

# EvalPlus's own words (evalplus/codegen.py and provider/utility.py, v0.3.1, Apache-2.0): a number compares with a
# published one only where the model reads the same.
_EVALPLUS_QUESTION = (
    "Please provide a self-contained Python script that solves the following problem "
    "in a markdown code block:"
)
_EVALPLUS_ANSWER = (
    "Below is a Python script with a self-contained function that solves the problem "
    "and passes corresponding tests:"
)
_EVALPLUS_STOP = ("\nif __name__", "\ndef main(", "\nprint(", "\n```\n")


@dataclass(frozen=True, kw_only=True)
class Posed:
    """A problem as the model gets it."""

    problem: Problem
    prefill: str = ""
    """The model goes on from these first words of its answer."""
    stop: tuple[str, ...] = ()


def pose(problem: Problem, protocol: str | None) -> Posed:
    """The problem under `protocol`; None leaves it as its row says. ConfigError where the row's prompt is not ours."""
    if protocol is None:
        return Posed(problem=problem)
    if protocol == EVALPLUS:
        return _evalplus(problem)
    wanted = find_protocol(protocol)
    known = known_system(problem.prompt)
    if known is not None:
        system = {"role": "system", "content": system_prompt(language=known[1], protocol=protocol)}
        prompt = (system, *problem.prompt[1:])
    elif wanted.name in ("none", "tool") or wanted.agent_name == problem.agent_name:
        prompt = problem.prompt  # the chat template speaks of the tools
    else:
        raise ConfigError(
            f"{problem.problem_id}: its system message is none of this project's, so --protocol {protocol} cannot "
            f"take its place: prepare the data with --protocol {protocol}"
        )
    return Posed(problem=replace(problem, prompt=prompt, agent_name=wanted.agent_name))


def _evalplus(problem: Problem) -> Posed:
    """One user message, and an answer that has begun: HumanEval's head of a program, or MBPP's text and one assert."""
    if problem.data_source == "humaneval" and problem.starter_code:
        task = problem.starter_code
    elif problem.data_source == "mbpp":
        lines = visible_tests_of(problem.prompt).splitlines()  # of which a set-up may come first
        test = next((line for line in lines if line.startswith("assert")), "")
        task = f'"""\n{question_of(problem.prompt).strip()}\n{test}\n"""'
    else:
        raise ConfigError(
            f"--protocol evalplus is for MBPP(+) and HumanEval(+), not for {problem.data_source} ({problem.problem_id})"
        )
    question = f"{_EVALPLUS_QUESTION}\n```\n{task.strip()}\n```\n"
    return Posed(
        problem=replace(
            problem,
            prompt=({"role": "user", "content": question},),
            agent_name=find_protocol("none").agent_name,
        ),
        prefill=f"{_EVALPLUS_ANSWER}\n```python\n",
        stop=_EVALPLUS_STOP,
    )
