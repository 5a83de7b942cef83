"""Drawing a token of each sequence on a CPU: one random number a row against vLLM's exponential number for each token.

    python benchmarks/cpu_sampling.py [--rounds 31]

JSON lines: milliseconds (medians, both in turns) and the ratio, for batches of sequences and sizes of the vocabulary.
"""

import argparse
import json
import statistics
import time

import torch

from verl_coder.platform.cpu_sampling import draw

SIZES = ((16, 151_936), (64, 151_936), (128, 151_936), (128, 480))
"""Sequences, tokens of the vocabulary: Qwen's, the tiny model's."""


def draw_by_noise(logits: torch.Tensor) -> torch.Tensor:
    """As vLLM's sampler does where nothing is compiled, which is so in a run without a GPU."""
    probabilities = logits.softmax(dim=-1, dtype=torch.float32)
    noise = torch.empty_like(probabilities).exponential_()
    return probabilities.div(noise).argmax(dim=-1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    rounds = parser.parse_args().rounds
    for rows, size in SIZES:
        logits = torch.randn(rows, size) * 4
        seconds: dict[str, list[float]] = {"one number a row": [], "a number a token": []}
        for _ in range(rounds):
            for name, function in zip(seconds, (draw, draw_by_noise), strict=True):
                began = time.perf_counter()
                function(logits)
                seconds[name].append(time.perf_counter() - began)
        ours, theirs = (1000 * statistics.median(values) for values in seconds.values())
        print(
            json.dumps(
                {
                    "sequences": rows,
                    "vocabulary": size,
                    "one_number_a_row_ms": round(ours, 2),
                    "a_number_a_token_ms": round(theirs, 2),
                    "ratio": round(theirs / ours, 1),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
