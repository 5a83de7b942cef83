"""`verl-coder recipes`: what each is for, without composing it over verl's tree, which takes seconds."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from verl_coder.command_app import command_app
from verl_coder.errors import ConfigError
from verl_coder.paths import recipe_names, repository_root

app = command_app()


@dataclass(frozen=True, kw_only=True)
class RecipeSummary:
    """A recipe in a line; a text is empty where neither the recipe nor what it is made of says."""

    name: str
    aim: str
    model: str
    data: str
    profile: str
    """`cpu` or `gpu`: the environment that it runs in."""


def summaries() -> list[RecipeSummary]:
    """All recipes of the checkout, by name. ConfigError where a YAML cannot be read."""
    return [_summary(repository_root() / "recipes" / name / "recipe.yaml") for name in recipe_names()]


def _summary(path: Path) -> RecipeSummary:
    merged = _merged(path, repository_root() / "config", frozenset())
    device = str(_at(merged, "trainer.device") or "")
    return RecipeSummary(
        name=path.parent.name,
        aim=_aim(path),
        model=str(_at(merged, "actor_rollout_ref.model.path") or ""),
        data=str(_at(merged, "data.train_files") or ""),
        profile={"cpu": "cpu", "cuda": "gpu"}.get(device, device),
    )


def _aim(path: Path) -> str:
    """The comment at the top, less its first line, which is the command."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines[1:])


def _merged(path: Path, config: Path, open_files: frozenset[Path]) -> dict[str, Any]:
    """The values of a YAML over those of its `defaults` in config/, in their order; verl's own are left out."""
    try:
        own = yaml.safe_load(path.read_text()) or {}
        defaults = own.pop("defaults", ["_self_"])
    except (yaml.YAMLError, AttributeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}: mend the YAML") from error
    found: dict[str, Any] = {}
    for entry in [*defaults, *([] if "_self_" in defaults else ["_self_"])]:
        other = config / f"{str(entry).lstrip('/')}.yaml"  # `/` in front: from config/, not from the folder
        if entry == "_self_":
            _put_over(found, own)
        elif isinstance(entry, str) and other.is_file() and other not in open_files:
            _put_over(found, _merged(other, config, open_files | {path}))
    return found


def _put_over(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _put_over(below[key], value)
        else:
            below[key] = value


def _at(values: Any, place: str) -> Any:
    for key in place.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


@app.command()
def recipes(
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects in place of a table.")] = False,
) -> None:
    """List the recipes of this checkout, of VERL_CODER_ROOT or of the wheel: aim, model, data, profile."""
    found = summaries()
    if as_json:
        print(json.dumps([asdict(summary) for summary in found], indent=1, ensure_ascii=False))
        return
    for summary in found:
        print(f"{summary.name} ({summary.profile})")
        print(f"  {summary.aim}")
        print(f"  model {summary.model}; data {summary.data}")
    print(
        f"verl-coder train --recipe <name> trains one; {repository_root() / 'recipes'} has them, with a README.md of "
        "its numbers each"
    )
