"""
Tests that the commands, files and links in the documents for contributors exist.
"""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
#: Words that stand for a name in an example.
PLACEHOLDERS = re.compile("NAME|WORD|VERSION")
#: Sessions run by hand: CI runs the tests as the README says, C{news} is for a release,
#: and C{micro} is run before and after a change.
BY_HAND = {"trial", "pytest", "news", "micro"}


def sessions() -> set[str]:
    """
    @return: the sessions in noxfile.py.
    """
    found = set()
    for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                named = {
                    keyword.arg: ast.literal_eval(keyword.value)
                    for keyword in decorator.keywords
                }
                found.add(named.get("name", node.name))
    return found


def text(name: str) -> str:
    """
    @return: the text of a file of the checkout. A source distribution does not have all
        of them.
    """
    path = ROOT / name
    if not path.exists():
        raise SkipTest(f"{name} is not here")
    return path.read_text("utf-8")


class ContributingTests(SynchronousTestCase):
    """
    Tests of C{CONTRIBUTING.md} and C{SECURITY.md}.
    """

    def test_theirLinksLeadSomewhere(self) -> None:
        """
        Relative links lead to files in the checkout.
        """
        count = 0
        for page in ("CONTRIBUTING.md", "SECURITY.md"):
            for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text(page)):
                self.assertTrue((ROOT / link).exists(), link)
                count += 1
        self.assertGreater(count, 3)

    def test_theFilesAreThere(self) -> None:
        """
        Each file named exists, except for placeholders.
        """
        if not (ROOT / "rtmptw").is_dir():
            raise SkipTest("an installed rtmptw is tested, without its sources")
        named = re.findall(
            r"`((?:rtmptw|twisted|tests|docs)/[^` ]*)`", text("CONTRIBUTING.md")
        )
        files = [path for path in named if PLACEHOLDERS.search(path) is None]
        for path in files:
            self.assertTrue((ROOT / path).exists(), path)
        self.assertGreater(len(files), 5)

    def test_theSessionsAreThere(self) -> None:
        """
        Each session named after C{nox -s} exists.
        """
        named = set(re.findall(r"nox -s ([\w-]+)", text("CONTRIBUTING.md")))
        self.assertLessEqual({"news", "distributions"}, named)
        self.assertLessEqual(named, sessions())

    def test_theModulesAreThere(self) -> None:
        """
        Each of the project's modules named after C{python -m} exists.
        """
        named = set(
            re.findall(
                r"python -m ((?:tests|benchmarks)[\w.]*)", text("CONTRIBUTING.md")
            )
        )
        self.assertEqual(named, {"benchmarks", "tests.fuzz", "tests.mutation"})
        for module in named:
            self.assertIsNotNone(find_spec(f"{module}.__main__"), module)


class CheckTests(SynchronousTestCase):
    """
    Tests of C{.ci/run} and C{.pre-commit-config.yaml}.
    """

    def test_ciRunsEverySession(self) -> None:
        """
        CI runs every session except those run by hand.
        """
        script = text(".ci/run").replace("\\\n", " ")
        commands = re.findall(r"(?:-m nox .*-s|\bchecks) ([a-z ]+)$", script, re.M)
        named = [name for command in commands for name in command.split()]
        self.assertEqual(len(named), len(set(named)))
        self.assertEqual(set(named), sessions() - BY_HAND)

    def test_hooksAreSessions(self) -> None:
        """
        The hooks of a commit are sessions that can also be run by hand.
        """
        hooks = re.findall(
            r"entry: python -m nox -s (\w+)", text(".pre-commit-config.yaml")
        )
        self.assertEqual(hooks, ["style", "types", "layers"])
        self.assertLessEqual(set(hooks), sessions())
