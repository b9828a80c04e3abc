"""
Find and make all changes of a file.
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
    A place that can be changed.

    @ivar path: the path of the file, relative to the checkout.
    @ivar operator: the name of the operator that changes it.
    @ivar occurrence: the index of the place among all that the operator can change.
    @ivar line: the line number, from 1.
    """

    path: str
    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    One change.

    @ivar source: the whole changed file.
    @ivar where: the class and function that the change is in.
    @ivar before: the line before the change.
    @ivar after: the line after the change.
    """

    place: Place
    source: str
    where: str
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """
        What identifies the change even if the lines above it have moved.
        """
        return self.place.path, self.where, self.before, self.after

    def __str__(self) -> str:
        return (
            f"{self.place.path}:{self.place.line} {self.where}\n"
            f"    - {self.before}\n    + {self.after}"
        )


def placesOf(root: Path, path: str) -> list[Place]:
    """
    @return: the places in a file that are worth changing.
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
    @return: the change, or C{None} if the result does not compile. Each process can
        make only one, because it changes the tree that L{placesOf} has cached.
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
    @return: the first and the last line of the innermost function or class that a place
        is in, or of the file.
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


#: Calls that matter only to type checkers or the compiler.
_TYPING = frozenset({"TypeVar", "cast", "dataclass", "mypyc_attr"})


def _skipped(source: str) -> list[tuple[Position, Position]]:
    """
    @return: what is not changed: annotations, the words of messages, and assertions,
        which fail only because of a bug.
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
            # A type alias for a union.
            name[0].isupper()
            and not name.isupper()
            and isinstance(node.value, ast.BinOp)
            and isinstance(node.value.op, ast.BitOr)
        )
    return False


@functools.cache
def _functions(source: str) -> list[tuple[int, int, str]]:
    """
    @return: the first line, last line and name of each class and function, inner ones
        later.
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
    @return: the modules of these packages.
    """
    for package in packages:
        for path in sorted((root / "rtmptw" / package).glob("*.py")):
            if path.name != "__init__.py":
                yield str(path.relative_to(root))


def testsOf(root: Path, packages: tuple[str, ...]) -> Iterator[str]:
    """
    @return: the test modules of these packages.
    """
    for package in packages:
        for path in sorted((root / "tests" / package).glob("test_*.py")):
            yield f"tests.{package}.{path.stem}"
