"""How many questions go out in one frame, where the solution may read the later ones before it answers the first.

A frame for each would be safest, but each costs two switches of processes: a third of the time that 50 short calls take
on a busy machine.
"""

import json
from collections.abc import Sequence
from typing import Any

AHEAD = 16
"""Most questions of a frame."""
_TELLS_NOTHING = frozenset(("true", "false", "null"))


def text_of_question(message: Any) -> str:
    """An encoded value as the text that answers are looked for in."""
    return json.dumps(message, separators=(",", ":"))


def text_of_answer(message: Any) -> str:
    """An encoded value as it would stand in a question, alone or with more around it; empty where it tells nothing."""
    while type(message) is dict and len(message) == 1:
        (message,) = message.values()
    text = text_of_question(message).strip('[]"')
    return "" if text in _TELLS_NOTHING else text


def sent_together(questions: Sequence[str], answers: Sequence[str], start: int) -> int:
    """So many questions from `start` on hold none of the answers to those before them in the frame."""
    end = min(start + AHEAD, len(questions))
    for number in range(start, end):
        if not answers[number]:
            continue
        for later in range(number + 1, end):
            if _stands_in(answers[number], questions[later]):
                end = later
                break
    return end - start


def _stands_in(answer: str, question: str) -> bool:
    """Whether the text holds the answer: a number as one of its own, anything else as a part, too."""
    place = question.find(answer)
    while place >= 0:
        around = (
            question[max(place - 1, 0) : place] + answer[0],
            answer[-1] + question[place + len(answer) :][:1],
        )
        if not any(pair.replace(".", "0").replace("-", "0").isdigit() and len(pair) == 2 for pair in around):
            return True
        place = question.find(answer, place + 1)
    return False
