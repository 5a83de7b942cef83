"""Which of several code blocks of an answer is the answer, and what of the others belongs to it.

Models show more than their answer: how to call it, tests, the one line that matters, a stub of the signature, another
way that is slower. Where the names are known that the tests ask for, the answer is the last block that defines one of
them. Else it is the last whole program, which reads and prints; else the last block that can stand for an answer: one
that needs what another one defines, or does nothing by itself, cannot. Helpers in blocks of their own, earlier or
later, belong to the block that needs them.
"""

import ast
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from verl_coder.block_shape import (
    Shape,
    Shapes,
    demonstrations,
    future_imports,
    only_codes,
    parameters,
    without,
)
from verl_coder.code_blocks import Block

Asked = Sequence[frozenset[str]]
"""What the tests ask of an answer: of each set, one name, or one `Class.method`."""
NOTHING, STANDS, PARTS, PROGRAM = range(4)
_MAX_BLOCKS = 200
"""Of an answer that are looked at, the last ones."""


class BlockChoice(NamedTuple):
    """The code of an answer, and how well it can stand for one."""

    code: str
    rank: int
    block: Block
    """The one that the answer is told by."""


def choose_block(blocks: Sequence[Block], shapes: Shapes) -> BlockChoice:
    """Of complete blocks the one that is the answer, with what it needs of others, where nobody knows the tests."""
    parsed = [block for block in blocks if block.parses][-_MAX_BLOCKS:] or list(blocks)
    if not parsed[-1].parses:
        return BlockChoice(parsed[-1].code, NOTHING, parsed[-1])
    parts = _Parts(parsed, shapes)
    best, rank = len(parsed) - 1, NOTHING
    for index in range(len(parsed) - 1, -1, -1):
        if (here := parts.rank(index)) > rank:
            best, rank = index, here
        if rank == PROGRAM:
            break
    if rank == PARTS:
        code = "\n".join(block.code for block in parsed[: best + 1])
    else:
        code = _Joined(parts, [best]).code(()) if rank != NOTHING else parsed[best].code
    return BlockChoice(code, rank, parsed[best])


def choose_asked(blocks: Sequence[Block], shapes: Shapes, asked: Asked, *, whole: bool) -> BlockChoice | None:
    """The last block that defines what the tests ask for, with what it needs of others; None without such a block.

    `whole`: a stub, an import, a class without the method asked for is none.
    """
    parsed = [block for block in blocks if block.parses][-_MAX_BLOCKS:]
    return _Parts(parsed, shapes).asked(asked, whole=whole) if asked else None


class _Parts:
    """Blocks that parse, in order."""

    def __init__(self, blocks: Sequence[Block], shapes: Shapes) -> None:
        self.blocks = blocks
        self.shapes = [shapes.of(block.code) for block in blocks]
        self.givers: dict[str, list[int]] = {}
        imported: dict[str, list[int]] = {}
        for index, shape in enumerate(self.shapes):
            for name in shape.defines if shape else ():
                # `from solution import f` may be from another block, or from a library.
                which = imported if shape and name in shape.needs else self.givers
                which.setdefault(name, []).append(index)
        self.givers = imported | self.givers

    def rank(self, index: int) -> int:
        """How well the block can stand for an answer, with what it needs of others."""
        shape = self.shapes[index]
        if shape is None:
            return STANDS
        if not shape.works:
            return NOTHING
        givers = _Joined(self, [index]).others()
        if not givers:
            if not shape.adds and shape.at_load:
                return NOTHING
            if not shape.reads and self._goes_on(shape, index):
                return PARTS
            return PROGRAM if _is_program(shape) else STANDS
        given = [given for i in givers if (given := self.shapes[i]) is not None]
        reads = shape.reads or any(one.reads for one in given)
        writes = shape.writes or any(one.writes for one in given)
        # The part of a program that reads its input, or calls what does, needs the functions; so does no remark.
        is_main = shape.reads or (reads and writes and all(one.only_defines for one in given))
        is_main = is_main and not shape.feeds
        if not shape.adds and not is_main:
            return PARTS if self._ends_a_program(shape, index) else NOTHING
        return PROGRAM if reads and writes and not (shape.only_defines or shape.feeds) else STANDS

    def _ends_a_program(self, shape: Shape, index: int) -> bool:
        """Whether a block prints what the earlier ones have read and worked out: none of them prints anything."""
        earlier = [shape for shape in self.shapes[:index] if shape is not None]
        silent = all((one.works or one.only_defines) and not one.writes for one in earlier)
        reads = any(one.reads for one in earlier)
        return reads and silent and len(earlier) == index and shape.writes and not shape.only_defines

    def _goes_on(self, shape: Shape, index: int) -> bool:
        """The same of a block that sets an earlier block's name anew: `n = n + 1`."""
        before = {name for one in self.shapes[:index] if one is not None for name in one.values}
        return not before.isdisjoint(shape.values) and self._ends_a_program(shape, index)

    def asked(self, asked: Asked, *, whole: bool) -> BlockChoice | None:
        """The last definitions of all that is asked for, with what they need; `whole`: of one of it with its code."""
        if whole and not any(self._wholly(names) for names in asked):
            return None
        roots = {root for names in asked if (root := self._last_that_defines(names)) is not None}
        if not roots:
            return None
        joined = _Joined(self, sorted(roots))
        joined.add_corrections()
        return BlockChoice(joined.code(_owners(frozenset().union(*asked))), STANDS, self.blocks[max(roots)])

    def _wholly(self, names: frozenset[str]) -> bool:
        """Whether a block has code, or a value, for one of the very names."""
        shapes = [shape for shape in self.shapes if shape is not None and shape.works]
        return any(not names.isdisjoint(shape.codes | shape.values) for shape in shapes)

    def _last_that_defines(self, names: frozenset[str]) -> int | None:
        """The last block with code for one of the names; else for its class, with a value, with a stub or an import."""
        there = [(i, shape) for i, shape in enumerate(self.shapes) if shape is not None and shape.works]
        owners = _owners(names)
        for wanted, defines in ((names, _codes), (owners, _codes), (owners, _values)):
            found = [i for i, shape in there if not wanted.isdisjoint(defines(shape))]
            if found:
                return found[-1]
        found = [i for name in sorted(owners) for i in self.givers.get(name, ())]
        return max(found, default=None)

    def giver(self, name: str, place: int) -> int | None:
        """The block that a name comes from: the last one before the place, else one behind it, best without more."""
        there = [i for i in self.givers.get(name, ()) if i != place]
        earlier = [i for i in there if i < place]
        if earlier:
            return earlier[-1]
        plain = [i for i in there if (shape := self.shapes[i]) is not None and shape.only_defines]
        return max(plain or there, default=None)


def _owners(names: frozenset[str]) -> frozenset[str]:
    """Names of the top level: a method's is its class's."""
    return frozenset(name.partition(".")[0] for name in names)


def _is_program(shape: Shape) -> bool:
    return shape.reads and shape.writes and not (shape.only_defines or shape.feeds)


def _codes(shape: Shape) -> frozenset[str]:
    """Functions and classes; in a block with some of them a value may be a function, too (`f = cache(g)`)."""
    return shape.codes | (shape.values if shape.adds else frozenset())


def _values(shape: Shape) -> frozenset[str]:
    return shape.values


class _Joined:
    """Blocks that are the answer, and what they need of others."""

    def __init__(self, parts: _Parts, roots: Sequence[int]) -> None:
        self.parts, self.roots = parts, roots
        self.wanted: dict[int, set[str]] = {root: set() for root in roots}
        """Block -> the names that are wanted of it."""
        self.at_load: dict[int, list[int]] = {}
        """Block -> the blocks without which it does not load."""
        todo = list(roots)
        while todo:
            index = todo.pop()
            shape = parts.shapes[index]
            for name in sorted(shape.needs) if shape is not None else ():
                giver = parts.giver(name, index)
                if giver is None:
                    continue
                if shape is not None and name in shape.at_load:
                    self.at_load.setdefault(index, []).append(giver)
                if giver not in self.wanted:
                    self.wanted[giver] = set()
                    todo.append(giver)
                self.wanted[giver].add(name)

    def others(self) -> list[int]:
        """The blocks beside the answer's own."""
        return sorted(set(self.wanted) - set(self.roots))

    def add_corrections(self) -> None:
        """A later block of nothing but functions and classes that the answer has, with the same parameters."""
        for index in range(max(self.roots) + 1, len(self.parts.blocks)):
            later = self.parts.shapes[index]
            if index in self.wanted or later is None or not only_codes(later):
                continue
            if all(self._has(later, name) for name in later.codes):
                self.wanted[index] = set(later.codes)

    def _has(self, later: Shape, name: str) -> bool:
        for index in self.wanted:
            shape = self.parts.shapes[index]
            if shape is not None and name in shape.codes:
                return parameters(shape, name) == parameters(later, name)
        return False

    def code(self, asked: Iterable[str]) -> str:
        """The blocks one after the other, those that are needed in loading before those that need them."""
        order: list[int] = []

        def put(index: int, above: tuple[int, ...]) -> None:
            if index in order or index in above:
                return
            for needed in sorted(self.at_load.get(index, ())):
                put(needed, (*above, index))
            order.append(index)

        for index in sorted(self.wanted):
            put(index, ())
        if len(order) == 1:
            return self.parts.blocks[order[0]].code
        names = frozenset(asked)
        texts, future = [], dict[str, None]()
        for place, index in enumerate(order):
            shape, code = self.parts.shapes[index], self.parts.blocks[index].code
            if shape is not None:
                dropped = [] if index in self.roots else demonstrations(shape, self.wanted[index], names)
                if place:
                    first = future_imports(shape)
                    future.update((ast.unparse(node), None) for node in first)
                    dropped = [*dropped, *first]
                code = without(code, shape.body, dropped) if dropped else code
            texts.append(code)
        return "\n".join([*future, *texts])
