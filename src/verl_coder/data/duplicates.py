"""Exact and near duplicates among statements: MinHash candidates, then the true Jaccard similarity.

MinHash: Broder 1997, with the banding of `datasketch`; the same recipe as in GPT-3's and The Stack's
deduplication, on word 3-grams because statements are short.
"""

import hashlib
import re
import unicodedata
import zlib
from dataclasses import dataclass
from typing import Any, Literal

SHINGLE_WORDS = 3
SIMILARITY = 0.7
_PERMUTATIONS = 128
_MOST_ROWS = 5
_MOST_MISSED = 0.005
"""Share of the pairs at exactly the similarity asked for that MinHash may lose; of others, the true one decides."""

_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
"""Characters of scripts without spaces between words (Thai, Lao, Burmese, Khmer, Kana, Han): each is a word."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


Kind = Literal["exact", "group", "reference", "near"]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement; `key` names it in the report (`mbpp/601`)."""

    key: str
    text: str
    group: str = ""
    """The same for rows that pose one problem in several ways."""
    reference: str = ""
    """Code of the reference solution: problems that share it are one, however they are worded."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """`key` says the same as `other`, which came before it."""

    key: str
    other: str
    kind: Kind
    similarity: float
    """Of the statements, whatever the kind."""


class DuplicateIndex:
    """Statements seen so far; `add` says which of them the new one repeats."""

    def __init__(self, *, similarity: float = SIMILARITY) -> None:
        from datasketch import MinHashLSH

        self.similarity = similarity
        self._lsh = MinHashLSH(num_perm=_PERMUTATIONS, params=_bands(similarity))
        self._shingles: list[frozenset[int]] = []
        self._keys: list[str] = []
        self._known: dict[tuple[Kind, bytes], int] = {}

    def add(self, statement: Statement, *, always: bool = False) -> Pair | None:
        """The most similar earlier statement, if it is similar enough; the new one is kept if not, or `always`."""
        words = _WORD.findall(unicodedata.normalize("NFKC", statement.text).casefold())
        shingles = _shingles(words)
        marks = _marks(statement, words)
        found = self._marked(statement, shingles, marks)
        if found is not None and not always:
            return found
        signature = _signature(shingles)
        found = found or self._near(statement, shingles, signature)
        if found is not None and not always:
            return found
        for mark in marks:
            self._known.setdefault(mark, len(self._keys))
        self._lsh.insert(len(self._keys), signature)
        self._keys.append(statement.key)
        self._shingles.append(shingles)
        return found

    def _marked(
        self, statement: Statement, shingles: frozenset[int], marks: list[tuple[Kind, bytes]]
    ) -> Pair | None:
        """The pair with the first earlier statement that shares a mark."""
        for mark in marks:
            if (index := self._known.get(mark)) is not None:
                return self._pair(statement, index, mark[0], shingles)
        return None

    def _near(self, statement: Statement, shingles: frozenset[int], signature: Any) -> Pair | None:
        """The pair with the most similar earlier statement, if it is similar enough."""
        candidates = sorted(self._lsh.query(signature))
        best = max(candidates, key=lambda index: _jaccard(shingles, self._shingles[index]), default=None)
        if best is None or _jaccard(shingles, self._shingles[best]) < self.similarity:
            return None
        return self._pair(statement, best, "near", shingles)

    def _pair(self, statement: Statement, index: int, kind: Kind, shingles: frozenset[int]) -> Pair:
        similarity = round(_jaccard(shingles, self._shingles[index]), 3)
        return Pair(key=statement.key, other=self._keys[index], kind=kind, similarity=similarity)


def _marks(statement: Statement, words: list[str]) -> list[tuple[Kind, bytes]]:
    """What makes two statements one problem where they share it: the words, the group, the code of the reference."""
    code = "\n".join(filter(None, (line.rstrip() for line in statement.reference.splitlines())))
    texts: list[tuple[Kind, str]] = [
        ("exact", " ".join(words)),
        ("group", statement.group),
        ("reference", code),
    ]
    # Digests, because half a million of them may be in memory.
    return [(kind, _digest(text)) for kind, text in texts if text or kind == "exact"]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _bands(similarity: float) -> tuple[int, int]:
    """(bands, rows of each) of MinHash: as many rows as lose no more than _MOST_MISSED of such pairs."""
    for rows in range(_MOST_ROWS, 1, -1):
        bands = _PERMUTATIONS // rows
        if (1 - similarity**rows) ** bands <= _MOST_MISSED:
            return bands, rows
    return _PERMUTATIONS, 1


def _jaccard(first: frozenset[int], second: frozenset[int]) -> float:
    return len(first & second) / len(first | second)


def _shingles(words: list[str]) -> frozenset[int]:
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    return frozenset(zlib.crc32(" ".join(words[i : i + SHINGLE_WORDS]).encode()) for i in range(count))


def _signature(shingles: frozenset[int]) -> Any:
    from datasketch import MinHash

    signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
    signature.update_batch([shingle.to_bytes(4, "little") for shingle in sorted(shingles)])
    return signature
