"""
Tests of the words that people read: the field's, and in plain English.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.texts import PACKAGE, ROOT, Text, helpPages, modules, prose, texts

#: Words that have a better one, or that no person writes.
AVOIDED = re.compile(
    r"\b(pictures?|sounds?|so many|is had|be had|let go of|whom|likewise)\b", re.I
)
#: Names of the standards, in which such a word stays.
NAMES = re.compile(
    r"groups? of pictures|GroupOfPictures|IDR pictures?"
    r"|picture[ -](parameter|order|timing)",
    re.I,
)
#: Marks of epytext, which belong in docstrings only.
EPYTEXT = re.compile(r"\b[CLIB]\{")


def pages() -> Iterator[Path]:
    """
    @return: the documentation.
    """
    if not (ROOT / "docs").exists() or not (ROOT / "README.md").exists():
        raise SkipTest("here is no documentation")
    yield from (ROOT / "docs").glob("*.rst")
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))


def avoided(text: str) -> list[str]:
    """
    @return: the words of a text that should be others.
    """
    return AVOIDED.findall(NAMES.sub("", text))


class WordTests(SynchronousTestCase):
    """
    Plain English, and the field's words.
    """

    def test_code(self) -> None:
        """
        Comments, docstrings and messages.
        """
        found = [
            f"{path.relative_to(PACKAGE)}:{line}: {word}"
            for path in modules()
            for line, text in prose(path.read_text("utf-8"))
            for word in avoided(text)
        ]
        self.assertEqual(found, [])

    def test_documentation(self) -> None:
        """
        The pages, the README and what contributors read.
        """
        found = [
            f"{path.name}:{number}: {word}"
            for path in pages()
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
            for word in avoided(line)
        ]
        self.assertEqual(found, [])

    def test_avoided(self) -> None:
        """
        Names of the standards may have such a word, other texts may not.
        """
        self.assertEqual(avoided("the group of pictures, a picture parameter set"), [])
        self.assertEqual(avoided("Pictures and sound"), ["Pictures", "sound"])


class PageTests(SynchronousTestCase):
    """
    C{python -m tests.texts}.
    """

    def test_help(self) -> None:
        """
        It has the help of every sink and source. No help has epytext or runs of blanks.
        """
        found = dict(helpPages())
        for name in ("sink-type=file", "sink-type=decode", "source-type=media"):
            self.assertIn(f"--help-{name}", found)
        for arguments, page in found.items():
            self.assertEqual(EPYTEXT.findall(page), [], arguments)
            for line in page.splitlines():
                # What is indented are columns.
                if not line.startswith(" "):
                    self.assertNotRegex(line, r"\S {2,}\S", arguments)

    def test_texts(self) -> None:
        """
        It has log lines, errors and other sentences, with their places and with what is
        filled in.
        """
        found = texts()
        kinds = {kind: 0 for kind in ("log", "error", "sentence")}
        for text in found:
            kinds[text.kind] += 1
            self.assertEqual(EPYTEXT.findall(text.text), [], text)
        print(f"{kinds} texts")
        self.assertGreater(kinds["log"], 50)
        self.assertGreater(kinds["error"], 100)
        self.assertGreater(kinds["sentence"], 100)
        places = {text.place.partition(":")[0] for text in found}
        self.assertIn("rtmptw/hub/hub.py", places)
        (ended,) = [text for text in found if text.text.startswith("{stream}: ended")]
        self.assertEqual(ended.kind, "log")
        self.assertIsInstance(ended, Text)
