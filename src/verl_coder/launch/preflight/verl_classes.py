"""What verl's own classes refuse of its settings: they are made here, where a run makes them minutes later."""

import contextlib
import io
import linecache
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from types import TracebackType

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError

SECTIONS = ("algorithm", "actor_rollout_ref.actor", "actor_rollout_ref.rollout")
"""Sections that verl reads into a dataclass of its own, but for the model's, which loads the model's files."""
_FULL_KEY = re.compile(r"^full_key: (\S+)$", re.M)


def check_verl_classes(config: DictConfig, sections: Sequence[str] = SECTIONS) -> None:
    """ConfigError for the first section that verl's class of it refuses: the place, the reason, the values in it."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    for place in sections:
        node = OmegaConf.select(config, place)
        if not isinstance(node, DictConfig) or "_target_" not in node:
            continue
        try:
            with _silence():
                instantiate(node, _convert_="partial")
        except InstantiationException as error:
            found = _FULL_KEY.search(str(error))
            section = found[1] if found else place
            raise ConfigError(_sentence(config, section, error.__cause__ or error)) from error


def _sentence(config: DictConfig, section: str, cause: BaseException) -> str:
    """`actor_rollout_ref.actor.optim.lr_scheduler_type=foo: verl refuses it: assert ...`."""
    source = _last_line(cause.__traceback__)
    words = " ".join(str(cause).split()) or source
    names = [
        name
        for name in re.findall(r"self\.(\w+)", source)
        if name in (OmegaConf.select(config, section) or {})
    ]
    values = [
        f"{section}.{name}={OmegaConf.select(config, f'{section}.{name}')}" for name in dict.fromkeys(names)
    ]
    return f"{', '.join(values) or section}: verl refuses it: {words[:300]}"


def _last_line(trace: TracebackType | None) -> str:
    """The source line that raised; empty where it is not known."""
    line = ""
    while trace is not None:
        line = linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno).strip()
        trace = trace.tb_next
    return line


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """verl's classes print and warn; a run says it again in its log."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
