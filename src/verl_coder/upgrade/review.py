"""One look at the repository and at the packages: list, check or record."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.files import write_atomically
from verl_coder.paths import repository_root
from verl_coder.upgrade.check import Break, breaks, unrecorded
from verl_coder.upgrade.contract import (
    CONTRACTS,
    NOT_FOUND,
    Contract,
    read_contract,
    recorded_packages,
    take_contracts,
    write_contract,
)
from verl_coder.upgrade.costs import COSTS, cost_table, read_costs
from verl_coder.upgrade.foreign import Foreign
from verl_coder.upgrade.packages import PACKAGES, installed_roots, package_of, version_of
from verl_coder.upgrade.touch import Touch
from verl_coder.upgrade.touches import find_touches

README = Path(__file__).parent / "README.md"
_BEGIN, _END = "<!-- areas: begin -->\n", "<!-- areas: end -->\n"


@dataclass(frozen=True, kw_only=True)
class UpgradeReport:
    """What `check` has to say."""

    breaks: tuple[Break, ...]
    lines: tuple[str, ...]
    broken: bool


class Review:
    """The repository `root` beside the installed packages, or beside those in the folder `at`."""

    def __init__(
        self,
        at: Path | None = None,
        *,
        root: Path | None = None,
        contracts: Path = CONTRACTS,
        costs: Path = COSTS,
    ) -> None:
        self.at, self.root, self.folder, self.costs = at, root or repository_root(), contracts, costs
        self.foreign = Foreign([*([at] if at else []), *installed_roots()])

    @cached_property
    def found(self) -> list[Touch]:
        """All touches, as far as the packages say how far a name leads."""
        with _no_search_for_garbage():
            return find_touches(self.root, self.foreign)

    @cached_property
    def now(self) -> dict[str, Contract]:
        """The present contracts."""
        versions = {package: version_of(package, self.at) for package in PACKAGES}
        there = {name: its for name, its in versions.items() if its}
        with _no_search_for_garbage():
            return take_contracts(self.found, self.foreign, there)

    def touches(self) -> list[Touch]:
        """The touches, less the texts that only look like a key of verl's."""
        names = {name for contract in self.now.values() for name in contract.names}
        return [one for one in self.found if one.name in names or package_of(one.name) not in self.now]

    def check(self) -> UpgradeReport:
        """Each package that has a record and is there."""
        costs, told, lines, is_old = read_costs(self.costs), [], [], False
        packages = [package for package in recorded_packages(self.folder) if package in self.now]
        if not packages:
            raise ConfigError(f"no record in {self.folder} of what is there: `verl-coder upgrade record`")
        for package in packages:
            version = self.now[package].version
            was = read_contract(package, version, self.folder)
            assert was is not None
            its = breaks(was, self.found, self.foreign, self.root, costs)
            told += its
            lines += [f"BREAK {one.line()}" for one in its]
            head = f"{package} {version}: {len(its)} breaks of {len(was.names)} names"
            if was.version != version:
                head += f", beside the record of {was.version}"
            else:
                late = [
                    name for name in unrecorded(was, self.now[package]) if name not in {b.name for b in its}
                ]
                is_old |= bool(late)
                lines += [
                    f"NOT RECORDED {name}: `verl-coder upgrade record` (and read its diff)" for name in late
                ]
            lines.append(head)
        return UpgradeReport(breaks=tuple(told), lines=tuple(lines), broken=bool(told) or is_old)

    def record(self) -> list[Path]:
        """Write a contract for each package, and the table of areas. ConfigError where it is not what is installed."""
        if self.at is not None:
            raise ConfigError("only what is installed is recorded")
        paths = [write_contract(contract, self.folder) for contract in self.now.values() if contract.names]
        return [*paths, write_table(self.now, self.costs)]


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """The trees of two thousand files stay: looking through them again and again was two thirds of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


def readme_table(text: str) -> str:
    """The table as the README has it."""
    return text.partition(_BEGIN)[2].partition(_END)[0]


def write_table(contracts: dict[str, Contract], costs: Path = COSTS, readme: Path = README) -> Path:
    """Put the table of areas into the README."""
    head, _, rest = readme.read_text().partition(_BEGIN)
    table = cost_table(contracts, read_costs(costs))
    write_atomically(readme, f"{head}{_BEGIN}{table}{_END}{rest.partition(_END)[2]}")
    return readme


def unseen(contracts: dict[str, Contract]) -> list[str]:
    """Names that reading the source does not find: made at run time."""
    return [
        name
        for contract in contracts.values()
        for name, fact in contract.names.items()
        if fact["is"] == NOT_FOUND
    ]
