"""Raw records -> problems of a dataset, as the choices of a `prepare` run want them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from verl_coder.data.dataset import Dataset
from verl_coder.data.parallel_verification import Candidate
from verl_coder.data.prepare_options import PrepareOptions
from verl_coder.data.record import RowError
from verl_coder.data.shuffle import unit_hash
from verl_coder.data.sources import RawRow, SourceFile, read_rows
from verl_coder.data.tests_of_rows import as_read, limited
from verl_coder.errors import DataError
from verl_coder.problems import Problem


class ProblemReader:
    """Reads records one by one; `reject(place, reason, message, problem id)` is told of each that is left out."""

    def __init__(
        self, dataset: Dataset, options: PrepareOptions, reject: Callable[[str, str, str, str], None]
    ) -> None:
        self.dataset = dataset
        self.options = options
        self.rows_read = 0
        self.unwanted: Counter[str] = Counter()
        """Records of another difficulty than the one that is asked for."""
        self.posed_as_stubs: set[str] = set()
        self._reject = reject

    def candidates(self, files: list[SourceFile]) -> Iterator[Candidate]:
        """Every record that can be read, is wanted and is not there twice."""
        seen: set[str] = set()
        for row in read_rows(files):
            if self.options.limit is not None and len(seen) >= self.options.limit:
                return
            self.rows_read += 1
            try:
                problems = self._problems(row)
                if problems[0].problem_id in seen:
                    raise RowError(
                        f"problem id {problems[0].problem_id} is there already", code="duplicate_id"
                    )
            except RowError as error:
                if self.options.strict:
                    raise DataError(f"{row.place}: {error}") from error
                self._reject(row.place, error.code, str(error), "")
                continue
            if self._is_wanted(problems[0], row):
                seen.add(problems[0].problem_id)
                yield Candidate(place=row.place, problems=problems)

    def _problems(self, row: RawRow) -> list[Problem]:
        if row.value is None:
            raise RowError(row.error, code=row.code)
        try:
            return self._read(row.value, row.split)
        except RowError:
            raise
        except Exception as error:
            raise RowError(f"the loader fails with {error!r}"[:300]) from error

    def _read(self, value: dict[str, Any], split: str) -> list[Problem]:
        draft = self.dataset.to_draft(value, split, self.options.load).encodable()
        if not draft.tests or not all(len(tests) for tests in draft.tests):
            raise RowError("the record has no tests", code="no_tests")
        if not draft.statement.strip():
            raise RowError("the statement is empty")
        draft = replace(draft, tests=tuple(map(as_read, draft.tests)))
        split = draft.split or self._split_of(draft.group or draft.problem_id)
        limit_s = self.options.train_time_limit_s
        if split == "train" and limit_s is not None:
            draft = replace(draft, tests=tuple(limited(tests, limit_s) for tests in draft.tests))
        if split == "train" and self._is_a_stub(draft.problem_id) and (stub := draft.as_stub()):
            self.posed_as_stubs.add(draft.problem_id)
            draft = stub
        return draft.problems(data_source=self.dataset.name, split=split, options=self.options.load)

    def has_the_limit(self, problem: Problem) -> bool:
        """Whether the limit of its tests is that of the option for training rows."""
        limit_s = self.options.train_time_limit_s
        return limit_s is not None and problem.split == "train" and problem.tests.timeout_s == limit_s

    def _is_a_stub(self, problem_id: str) -> bool:
        """By hash, as the split is."""
        return unit_hash(self.options.seed, self.dataset.name, problem_id, "stub") < self.options.train_stubs

    def _split_of(self, name: str) -> str:
        """By hash of group or id, so that a problem keeps its split when the dataset grows or is reordered."""
        share = unit_hash(self.options.seed, self.dataset.name, name)
        return "validation" if share < self.options.validation_fraction else "train"

    def _is_wanted(self, problem: Problem, row: RawRow) -> bool:
        wanted, own = self.options.difficulty, (row.value or {}).get("difficulty")
        if wanted is None or wanted in (problem.difficulty, own):
            return True
        self.unwanted[str(own or problem.difficulty)] += 1
        return False
