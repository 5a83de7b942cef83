"""Exact and near duplicates among statements: MinHash candidates, then the true Jaccard similarity.

MinHash: Broder 1997, with the banding of `datasketch`; the same recipe as in GPT-3's and The Stack's
deduplication, on word 3-grams because statements are short.
"""

import re
import unicodedata
import zlib
from dataclasses import dataclass
from typing import Literal

SHINGLE_WORDS = 3
SIMILARITY = 0.7
_PERMUTATIONS = 128
_CANDIDATE_SIMILARITY = 0.5
"""Lower than what is asked for, so that MinHash's error does not lose a pair; the true similarity decides."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement; `key` names it in the report (`mbpp/601`)."""

    key: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """`key` says the same as `other`, which came before it."""

    key: str
    other: str
    kind: Literal["exact", "near"]
    similarity: float


class DuplicateIndex:
    """Statements seen so far; `add` says which of them the new one repeats."""

    def __init__(self, *, similarity: float = SIMILARITY) -> None:
        from datasketch import MinHashLSH

        self.similarity = similarity
        self._lsh = MinHashLSH(threshold=min(similarity, _CANDIDATE_SIMILARITY), num_perm=_PERMUTATIONS)
        self._shingles: list[frozenset[int]] = []
        self._keys: list[str] = []
        self._exact: dict[str, int] = {}

    def add(self, statement: Statement, *, always: bool = False) -> Pair | None:
        """The most similar earlier statement, if it is similar enough; the new one is kept if not, or `always`."""
        words = _WORD.findall(unicodedata.normalize("NFKC", statement.text).casefold())
        normalised = " ".join(words)
        if normalised in self._exact:
            other = self._keys[self._exact[normalised]]
            return Pair(key=statement.key, other=other, kind="exact", similarity=1.0)
        shingles = _shingles(words)
        signature = _signature(shingles)
        best, best_similarity = -1, 0.0
        for index in sorted(self._lsh.query(signature)):
            similarity = len(shingles & self._shingles[index]) / len(shingles | self._shingles[index])
            if similarity > best_similarity:
                best, best_similarity = index, similarity
        found = None
        if best_similarity >= self.similarity:
            similarity = round(best_similarity, 3)
            found = Pair(key=statement.key, other=self._keys[best], kind="near", similarity=similarity)
            if not always:
                return found
        self._exact[normalised] = len(self._keys)
        self._lsh.insert(len(self._keys), signature)
        self._keys.append(statement.key)
        self._shingles.append(shingles)
        return found


def _shingles(words: list[str]) -> frozenset[int]:
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    return frozenset(zlib.crc32(" ".join(words[i : i + SHINGLE_WORDS]).encode()) for i in range(count))


def _signature(shingles: frozenset[int]):  # type: ignore[no-untyped-def]
    from datasketch import MinHash

    signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
    signature.update_batch([shingle.to_bytes(4, "little") for shingle in sorted(shingles)])
    return signature
