"""The end of a pipeline shows the scores of the models that are there, and says which are of older ones."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pipeline.fake_pipeline import CHAIN, run_chain

import verl_coder.pipeline.records as records
from verl_coder.errors import ConfigError

EVERY = (*CHAIN, "evaluate")
VERDICT = "trained is 20.0 points better than base"


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where every run of this test takes the same code of the package."""
    monkeypatch.setattr(records, "code_of", lambda *_: {})
    return tmp_path / "out"


def evaluations(**rates: dict[str, float]) -> dict[str, str]:
    """Tasks of the stage evaluate with what they write, the comparison last."""
    found = {f"evaluate/{name}": json.dumps({"pass_at_k": one}) for name, one in rates.items()}
    return found | {"evaluate/compare": json.dumps({"comparisons": [{"verdict": VERDICT}]})}


def end_of(out: Path, stages: tuple[str, ...] = EVERY, **texts: str) -> tuple[str, dict[str, Any]]:
    """What the end shows below the table, and pipeline.json."""
    shown = io.StringIO()
    assert run_chain(out, stages, shown=shown, **texts) == 0
    return shown.getvalue(), json.loads((out / "pipeline.json").read_text())


@pytest.mark.parametrize(
    ("rates", "line"),
    [
        ({"1": 0.25, "5": 0.5}, "pass@1: base 0.250, sft 0.250"),
        ({"10": 1.0, "5": 0.5}, "pass@5: base 0.500, sft 0.500"),
    ],
)
def test_the_scores_are_of_the_least_k_that_was_asked_for(
    rates: dict[str, float], line: str, out: Path
) -> None:
    shown, summary = end_of(out, **evaluations(base=rates, sft=rates))
    assert line in shown and VERDICT in shown
    assert summary["pass_at_k"]["sft"] == rates
    assert summary["pass_at_1"] == ({"base": 0.25, "sft": 0.25} if "1" in rates else {})


def test_scores_of_an_older_model_are_not_shown_but_said(out: Path) -> None:
    texts = evaluations(base={"1": 0.5}, trained={"1": 0.7})
    end_of(out, **texts)
    shown, summary = end_of(out, ("train",), **texts, train="another")
    assert (
        "evaluate/trained: of an older model, not shown (inputs changed: model): run the stage evaluate"
        in shown
    )
    assert "pass@1" not in shown and VERDICT not in shown
    assert summary["pass_at_1"] == summary["pass_at_k"] == {}


def test_scores_of_models_that_are_no_longer_evaluated_are_not_shown(out: Path) -> None:
    end_of(out, **evaluations(base={"1": 0.5}, trained={"1": 0.7}))
    alone = evaluations(base={"1": 0.5})
    alone.pop("evaluate/compare")
    shown, summary = end_of(out, **alone)
    assert "pass@1: base 0.500\n" in shown and VERDICT not in shown
    assert summary["pass_at_1"] == {"base": 0.5}


def test_a_pipeline_without_the_stage_shows_no_score(out: Path) -> None:
    end_of(out, **evaluations(base={"1": 0.5}))
    shown, summary = end_of(out, CHAIN)
    assert "pass@1" not in shown and summary["pass_at_1"] == {}


def test_results_without_any_score_are_named(out: Path) -> None:
    with pytest.raises(ConfigError, match=r"base/evaluation_results\.json has no pass@k: remove it"):
        run_chain(out, EVERY, **{"evaluate/base": '{"pass_at_k": [1]}'})
