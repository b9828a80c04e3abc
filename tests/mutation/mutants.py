"""
All the changes there are to a file.
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import MutationVisitor

from tests.mutation.operators import OPERATORS

Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where something can be changed.

    @ivar path: of the file, from the root of the checkout.
    @ivar operator: what is done.
    @ivar occurrence: at which of all the places where that can be done, from 0.
    @ivar line: the number of the line, from 1.
    """

    path: str
    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    One change.

    @ivar source: the whole file with it.
    @ivar where: the class and function that it is in.
    @ivar before: the line as it is.
    @ivar after: the line as it becomes.
    """

    place: Place
    source: str
    where: str
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """
        What it is known by when the lines above it have changed.
        """
        return self.place.path, self.where, self.before, self.after

    def __str__(self) -> str:
        return (
            f"{self.place.path}:{self.place.line} {self.where}\n"
            f"    - {self.before}\n    + {self.after}"
        )


def placesOf(root: Path, path: str) -> list[Place]:
    """
    @return: where a change makes sense.
    """
    source = (root / path).read_text(encoding="utf-8")
    skipped = _skipped(source)
    tree = _tree(source)
    found = []
    for name, operator in OPERATORS.items():
        occurrence = -1
        for node in ast_nodes(tree):
            for begin, _end in operator.mutation_positions(node):
                occurrence += 1
                if not any(first <= begin < last for first, last in skipped):
                    found.append(Place(path, name, occurrence, begin[0]))
    return found


def mutantOf(root: Path, place: Place) -> Mutant | None:
    """
    @return: the change, if it makes a program. Each process can make one: it changes
        the tree that L{placesOf} has left.
    """
    source = (root / place.path).read_text(encoding="utf-8")
    visitor = MutationVisitor(place.occurrence, OPERATORS[place.operator])
    mutated = visitor.walk(_tree(source)).get_code()
    if not visitor.mutation_applied or not _compiles(mutated):
        return None
    before, after = _firstChange(source.splitlines(), mutated.splitlines())
    where = ""
    for first, last, name in _functions(source):
        if first <= place.line <= last:
            where = name
    return Mutant(place, mutated, where, before.strip(), after.strip())


def spanOf(root: Path, place: Place) -> tuple[int, int]:
    """
    @return: the first and the last line of the function or class that it is in, else
        of the file.
    """
    source = (root / place.path).read_text(encoding="utf-8")
    span = (1, len(source.splitlines()))
    for first, last, _name in _functions(source):
        if first <= place.line <= last:
            span = first, last
    return span


@functools.cache
def _tree(source: str) -> Any:
    return get_ast(source)


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _firstChange(before: list[str], after: list[str]) -> tuple[str, str]:
    for old, new in zip(before, after, strict=False):
        if old != new:
            return old, new
    return "", ""


#: Calls that only type checkers or the compiler look at.
_TYPING = frozenset({"TypeVar", "cast", "dataclass", "mypyc_attr"})


def _skipped(source: str) -> list[tuple[Position, Position]]:
    """
    @return: what is only there for people and type checkers: annotations, the words
        of messages, and what fails by a bug only.
    """
    spans = []
    for node in ast.walk(ast.parse(source)):
        part: ast.AST | None = None
        if isinstance(node, ast.AnnAssign | ast.arg):
            part = node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            part = node.returns
        elif isinstance(node, ast.Assert | ast.JoinedStr) or _isTyping(node):
            part = node
        if part is not None:
            spans.append(
                (
                    (part.lineno, part.col_offset),  # type: ignore[attr-defined]
                    (part.end_lineno, part.end_col_offset),  # type: ignore[attr-defined]
                )
            )
    return spans


def _isTyping(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in _TYPING
    if isinstance(node, ast.Assign):
        name = ast.unparse(node.targets[0])
        return name == "__slots__" or (
            # The name of a union of types.
            name[0].isupper()
            and not name.isupper()
            and isinstance(node.value, ast.BinOp)
            and isinstance(node.value.op, ast.BitOr)
        )
    return False


@functools.cache
def _functions(source: str) -> list[tuple[int, int, str]]:
    """
    @return: first and last line of each class and function, the inner ones later.
    """
    places = []

    def walk(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{name}.{child.name}".lstrip(".")
                places.append((child.lineno, child.end_lineno or 0, inner))
            walk(child, inner)

    walk(ast.parse(source), "")
    return places


def modulesOf(root: Path, packages: tuple[str, ...]) -> Iterator[str]:
    """
    @return: the files of these packages.
    """
    for package in packages:
        for path in sorted((root / "rtmptw" / package).glob("*.py")):
            if path.name != "__init__.py":
                yield str(path.relative_to(root))


def testsOf(root: Path, packages: tuple[str, ...]) -> Iterator[str]:
    """
    @return: the modules of the tests of these packages.
    """
    for package in packages:
        for path in sorted((root / "tests" / package).glob("test_*.py")):
            yield f"tests.{package}.{path.stem}"
