"""Tokens a second of vLLM with and without one thing: guessed tokens (`speculation=lookup`), or norms in one kernel.

    verl-coder evaluate --model MODEL --data data/mbpp_program/test.parquet --tools ... --out outputs/program
    python benchmarks/two_engines.py --model MODEL --samples outputs/program/samples.parquet --change lookup

Both engines stand in one process, and take turns. The prompts are computed before the clock starts, as those of a
rollout are: what is measured is what is written behind the first output of a tool, or with `--from-prompt` behind the
prompt. `--change norms` is about a CPU (`platform/cpu_norms.py`). Prints a line for each number of sequences: tokens a
second without and with, the ratio of the medians, engine steps, and how many of the answers are the same.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from verl_coder.evaluation.engines import EngineOptions, TurnRequest, VllmEngine
from verl_coder.evaluation.run_config import speculation_of
from verl_coder.evaluation.trajectories import load_tokenizer
from verl_coder.platform.environment import cpu_platform_selected, select_platform

ENDS = ("</output>\n", "</tool_response><|im_end|>\n<|im_start|>assistant\n")
"""Behind which the model goes on, by the protocol."""


class Timed(NamedTuple):
    """One pass over all sequences."""

    answers: list[list[int]]
    rate: float
    """Tokens a second."""
    steps: int


def contexts(path: Path, *, from_prompt: bool) -> list[str]:
    """Texts that the model goes on from: one a conversation, of those that have a tool's output."""
    found = []
    for row in pq.read_table(path, columns=["prompt", "output"]).to_pylist():
        places = [row["output"].find(end) + len(end) for end in ENDS if end in row["output"]]
        if from_prompt:
            found.append(row["prompt"])
        elif places:
            found.append(row["prompt"] + row["output"][: min(places)])
    return found


def timed(engine: VllmEngine, prompts: list[list[int]], *, tokens: int, temperature: float) -> Timed:
    """Write `tokens` at most behind each prompt."""
    steps, step = [0], engine._engine.step

    def counted() -> object:
        steps[0] += 1
        return step()

    async def write() -> list[list[int]]:
        asked = [
            TurnRequest(
                prompt_ids=prompt,
                max_tokens=tokens,
                temperature=temperature,
                seed=number if temperature else None,
            )
            for number, prompt in enumerate(prompts)
        ]
        return [turn.token_ids for turn in await asyncio.gather(*map(engine.write, asked))]

    engine._engine.step = counted
    began = time.perf_counter()
    answers = asyncio.run(write())
    seconds = time.perf_counter() - began
    engine._engine.step = step
    return Timed(answers, sum(map(len, answers)) / seconds, steps[0])


def both_engines(given: argparse.Namespace) -> dict[str, VllmEngine]:
    """The engine without the change and the one with it."""

    def engine(speculation: str = "none") -> VllmEngine:
        options = EngineOptions(
            max_model_len=given.positions,
            max_num_seqs=max(given.sequences),
            dtype=given.dtype,
            speculation=speculation_of(speculation),
        )
        return VllmEngine(given.model, options)

    if given.change == "lookup":
        return {"without": engine(), "with": engine("lookup")}
    changed = engine()  # which has put the kernel into vLLM; a layer keeps the method that it was made with
    from vllm.model_executor.layers.layernorm import RMSNorm

    ours: Any = RMSNorm.forward_cpu
    RMSNorm.forward_cpu = ours.verl_coder_original  # type: ignore[method-assign]
    try:
        return {"without": engine(), "with": changed}
    finally:
        RMSNorm.forward_cpu = ours  # type: ignore[method-assign]


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--change", choices=("lookup", "norms"), required=True)
    parser.add_argument("--sequences", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--tokens", type=int, default=320)
    parser.add_argument("--positions", type=int, default=2048, help="of prompt and answer")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--from-prompt", action="store_true")
    given = parser.parse_args()
    select_platform()
    if given.change == "norms" and not cpu_platform_selected():
        parser.error("--change norms is about a CPU: PROFILE=cpu")
    tokenizer = load_tokenizer(given.model)
    texts = contexts(given.samples, from_prompt=given.from_prompt)
    engines = both_engines(given)
    for number in given.sequences:
        prompts = [tokenizer.encode(text, add_special_tokens=False) for text in texts[:number]]
        runs: dict[str, list[Timed]] = {name: [] for name in engines}
        for engine in engines.values():
            timed(engine, prompts, tokens=1, temperature=0.0)
        for _ in range(given.repeats):
            for name, engine in engines.items():
                runs[name].append(timed(engine, prompts, tokens=given.tokens, temperature=given.temperature))
        rates = {name: statistics.median(run.rate for run in of) for name, of in runs.items()}
        without, changed = runs["without"][0], runs["with"][0]
        same = sum(a == b for a, b in zip(without.answers, changed.answers, strict=True))
        print(
            f"{len(prompts)} sequences: {rates['without']:.0f} and {rates['with']:.0f} tokens/s, ratio "
            f"{rates['with'] / rates['without']:.2f}; {without.steps} and {changed.steps} steps; "
            f"{same} answers the same"
        )
    for engine in engines.values():
        engine.close()


if __name__ == "__main__":
    main()
