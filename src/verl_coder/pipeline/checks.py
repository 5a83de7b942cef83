"""The commands' own checks of their settings, asked before the first stage runs: no bound is written down twice."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from verl_coder.data.dataset import Dataset, load_dataset_file
from verl_coder.errors import ConfigError, DataError
from verl_coder.pipeline.commands import EVALUATE, SFT, TEACHERS, PartCommand
from verl_coder.pipeline.options import command_options

Values = Mapping[str, Any]


def check_section(place: str, check: Callable[..., None], *values: Any) -> None:
    """ConfigError at `place` where the `check` of a command refuses its values."""
    try:
        check(*values)
    except (ConfigError, DataError) as error:
        said = str(error).removeprefix(f"{place.rpartition('.')[2]}: ")
        raise ConfigError(f"{place}: {said}") from None


def check_dataset(name: str, values: Values) -> None:
    """The variant, of a dataset that has some."""
    script = load_dataset_file(name)
    if isinstance(script, Dataset):
        script.source(values.get("variant", script.default_variant))


def check_mix(shares: str, values: Values) -> None:
    """The shares, and the range of pass rates."""
    from verl_coder.data.mix import MixOptions, check_rates, parse_rate_range, parse_shares

    text = values.get("train_pass_rate")
    check_rates(
        MixOptions(
            shares=parse_shares(shares),
            data=Path(),
            out=Path(),
            pass_rates=values.get("pass_rates"),
            train_pass_rate=parse_rate_range(text, "--train-pass-rate") if text else None,
        )
    )


def check_teacher(kind: str, values: Values) -> None:
    """Of `generate` and `repairs`; `tiny` has limits alone, which the section knows."""
    given = _options(TEACHERS[kind], values)
    places: dict[str, Any] = {"problems": Path("problems"), "out": Path("traces")}
    given = {name: value for name, value in given.items() if name not in places}
    if kind == "generate":
        from verl_coder.teacher.generate_cli import generate_options

        given.pop("test_connection")
        generate_options(**given, **{**places, "problems": [places["problems"]]})
    elif kind == "repairs":
        from verl_coder.teacher.repair_report import RepairOptions

        RepairOptions(**given, **places).check_shares()


def check_sft(values: Values) -> None:
    """Bounds and words of the options, and the overrides, as verl's trainer has its settings."""
    from verl_coder.platform.environment import choose_profile
    from verl_coder.sft.composed import check_overrides
    from verl_coder.sft.settings import SftRequest

    given = _options(SFT, values)
    for name in ("dry_run", "memory_check"):
        given.pop(name)
    given |= {"model": "model", "traces": Path("traces"), "out": Path("sft"), "profile": choose_profile()}
    request = SftRequest(**given, overrides=tuple(values["overrides"]))
    check_overrides(request)


def check_evaluate(values: Values) -> None:
    """How samples are drawn and reported."""
    from verl_coder.evaluation.cli import check_options

    check_options(_options(EVALUATE, values) | {"model": "model"})


def _options(part: PartCommand, values: Values) -> dict[str, Any]:
    """Of the command, with its defaults; those that must be given only where the YAML gives them."""
    options = command_options(part.function)
    found = {name: option.default for name, option in options.items() if not option.required}
    return found | {name: value for name, value in values.items() if name in options}
