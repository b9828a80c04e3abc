"""
Tests of what contributors are told: commands, files and links that there are.
"""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
#: What stands for a name in an example.
PLACEHOLDERS = re.compile("NAME|WORD|VERSION")
#: Sessions that are for a person: CI runs these tests as the README says, news are
#: for a release, and what a message costs is looked at before and after a change.
BY_HAND = {"trial", "pytest", "news", "micro"}


def sessions() -> set[str]:
    """
    @return: the sessions of noxfile.py.
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
    @return: a file of the checkout; a source distribution does not have all.
    """
    path = ROOT / name
    if not path.exists():
        raise SkipTest(f"here is no {name}")
    return path.read_text("utf-8")


class ContributingTests(SynchronousTestCase):
    """
    C{CONTRIBUTING.md} and C{SECURITY.md}.
    """

    def test_theirLinksLeadSomewhere(self) -> None:
        """
        Within the checkout.
        """
        count = 0
        for page in ("CONTRIBUTING.md", "SECURITY.md"):
            for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text(page)):
                self.assertTrue((ROOT / link).exists(), link)
                count += 1
        self.assertGreater(count, 3)

    def test_theFilesAreThere(self) -> None:
        """
        Each that is named, but for examples.
        """
        if not (ROOT / "rtmptw").is_dir():
            raise SkipTest("an installed rtmptw is tested: here are no sources")
        named = re.findall(
            r"`((?:rtmptw|twisted|tests|docs)/[^` ]*)`", text("CONTRIBUTING.md")
        )
        files = [path for path in named if PLACEHOLDERS.search(path) is None]
        for path in files:
            self.assertTrue((ROOT / path).exists(), path)
        self.assertGreater(len(files), 5)

    def test_theSessionsAreThere(self) -> None:
        """
        Each that C{nox -s} is told to run.
        """
        named = set(re.findall(r"nox -s ([\w-]+)", text("CONTRIBUTING.md")))
        self.assertLessEqual({"news", "distributions"}, named)
        self.assertLessEqual(named, sessions())

    def test_theModulesAreThere(self) -> None:
        """
        Those of ours that C{python -m} runs.
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
    C{.ci/run} and C{.pre-commit-config.yaml}.
    """

    def test_ciRunsEverySession(self) -> None:
        """
        But for those that are for a person.
        """
        script = text(".ci/run").replace("\\\n", " ")
        commands = re.findall(r"-m nox .*-s (.*)", script)
        named = [name for command in commands for name in command.split()]
        self.assertEqual(len(named), len(set(named)))
        self.assertEqual(set(named), sessions() - BY_HAND)

    def test_hooksAreSessions(self) -> None:
        """
        A commit is checked by what a person runs.
        """
        hooks = re.findall(
            r"entry: python -m nox -s (\w+)", text(".pre-commit-config.yaml")
        )
        self.assertEqual(hooks, ["style", "types", "layers"])
        self.assertLessEqual(set(hooks), sessions())
