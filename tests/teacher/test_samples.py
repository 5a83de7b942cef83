"""The code of a sample is its answer, without what the model adds to show it off."""

import pytest

from verl_coder.teacher.samples import without_demonstration

DEFINITION = "import math\n\n\ndef f(x):\n    return math.sqrt(x)"


@pytest.mark.parametrize(
    "below",
    [
        "",
        "\n\n# Test\nassert f(4) == 2",
        "\nprint(f(4))  # 2\nprint(f(9))",
        "\nassert f(4) == 2, 'four'\n\nprint('all passed')\n# done",
    ],
)
def test_what_shows_a_definition_off_is_left_out(below: str) -> None:
    assert without_demonstration(DEFINITION + below) == DEFINITION


@pytest.mark.parametrize(
    "code",
    [
        "print(1)",
        f"{DEFINITION}\nTABLE = [f(x) for x in range(9)]",
        f"{DEFINITION}\nif __name__ == '__main__':\n    print(f(4))",
        "def f(:",
    ],
)
def test_what_does_more_than_that_stays(code: str) -> None:
    assert without_demonstration(code) == code
