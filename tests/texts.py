"""
C{python -m tests.texts}: every text that a person sees, on one page, to read through.

The help pages come first. Log lines, errors and all other sentences in the code follow,
each with its place. Braces hold what is filled in when the program runs.
"""

import ast
import contextlib
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rtmptw.app.options import Options

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rtmptw"

#: The methods of Twisted's Logger that take a text first, or after a failure.
_LEVELS = ("debug", "info", "warn", "error", "critical", "failure")


@dataclass(frozen=True)
class Text:
    """
    A text in the code.

    @ivar place: C{FILE:LINE}.
    @ivar kind: C{log}, C{error} or C{sentence}.
    @ivar text: the text, on one line.
    """

    place: str
    kind: str
    text: str


def wording(node: ast.AST) -> str | None:
    """
    @return: the words of a string, an f-string or a sum of these; C{None} if it is
        something else.
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = [
            str(part.value)
            if isinstance(part, ast.Constant)
            else "{" + ast.unparse(part.value) + "}"
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        ]
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = wording(node.left), wording(node.right)
        if left is None and right is None:
            return None
        return f"{left or '{}'}{right or '{}'}"
    return None


def isSentence(text: str) -> bool:
    """
    @return: whether a string is for people, as far as can be told: it has words with
        blanks between them.
    """
    words = [word for word in text.split() if word.strip("{}().,:;'\"").isalpha()]
    return len(words) >= 2


class _Reader(ast.NodeVisitor):
    """
    Collects the texts of one module.
    """

    def __init__(self, name: str) -> None:
        self.found: list[Text] = []
        self._name = name
        self._seen: set[int] = set()
        self._kind = "sentence"

    def _add(self, node: ast.AST, kind: str) -> bool:
        text = wording(node)
        if text is None:
            return False
        self._seen.update(id(child) for child in ast.walk(node))
        line = getattr(node, "lineno", 0)
        if isSentence(text):
            self.found.append(
                Text(f"{self._name}:{line}", kind, " ".join(text.split()))
            )
        return True

    def _body(self, node: ast.AST) -> None:
        body = getattr(node, "body", [])
        if body and isinstance(body[0], ast.Expr):
            # A docstring: API documentation, which the docs show.
            self._seen.update(id(child) for child in ast.walk(body[0]))
        self.generic_visit(node)

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _body

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name) and function.id == "Attribute":
            # An attribute of an interface, with its API documentation.
            self._seen.update(id(child) for child in ast.walk(node))
        if isinstance(function, ast.Attribute) and function.attr in _LEVELS:
            for argument in node.args:
                self._add(argument, "log")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        before, self._kind = self._kind, "error"
        self.generic_visit(node)
        self._kind = before

    def visit_Constant(self, node: ast.Constant) -> None:
        if id(node) not in self._seen:
            self._add(node, self._kind)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        if id(node) not in self._seen:
            self._add(node, self._kind)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if id(node) not in self._seen:
            self._add(node, self._kind)
        self.generic_visit(node)


def modules() -> list[Path]:
    """
    @return: the modules of the package.
    """
    return sorted(PACKAGE.rglob("*.py"))


def texts() -> list[Text]:
    """
    @return: the texts of the package, module by module.
    """
    found: list[Text] = []
    for path in modules():
        reader = _Reader(str(path.relative_to(ROOT)))
        reader.visit(ast.parse(path.read_text("utf-8")))
        found += reader.found
    return found


def prose(source: str) -> Iterator[tuple[int, str]]:
    """
    @param source: Python.
    @return: its comments, docstrings and other strings, each with its line.
    """
    kinds = [tokenize.COMMENT, tokenize.STRING]
    kinds += [getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            yield token.start[0], token.string


def run(*arguments: str) -> str:
    """
    @return: what C{python -m rtmptw} prints with these arguments.
    """
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        Options().parseOptions(arguments)
    return page.getvalue()


def helpPages() -> Iterator[tuple[str, str]]:
    """
    @return: each help page: its arguments, and what they print.
    """
    yield "--version", run("--version")
    yield "--help", run("--help")
    for kind in ("sink", "source"):
        plural, single = f"--help-{kind}s", f"--help-{kind}-type"
        page = run(plural)
        yield plural, page
        for line in page.splitlines():
            name = line.strip().partition(":")[0].partition("[")[0]
            if line.startswith("  ") and not line.startswith("   "):
                yield f"{single}={name}", run(f"{single}={name}")


def main() -> None:
    """
    Print the page.
    """
    for arguments, page in helpPages():
        print(f"===== python -m rtmptw {arguments}\n{page}")
    found = texts()
    for kind, title in (
        ("log", "log lines"),
        ("error", "errors"),
        ("sentence", "other sentences"),
    ):
        print(f"===== {title}")
        for text in found:
            if text.kind == kind:
                print(f"{text.text}\n    {text.place}")


if __name__ == "__main__":
    main()
