"""
Tests for L{rtmptw.plugins.values}.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rtmptw.plugins.values import Choice, Kind, Number, Switch, Text, typed


class ValueTests(SynchronousTestCase):
    """
    Values that people type, and the numbers and booleans of TOML.
    """

    def assertRefused(self, kind: Kind, said: Any, sentence: str) -> None:
        """
        Check that a value is refused with this end of a sentence.
        """
        error = self.assertRaises(ValueError, kind, said)
        self.assertEqual(str(error), sentence)

    def test_numbers(self) -> None:
        """
        A number may be any from the lower bound to the upper one, both included.
        """
        kind = Number("seconds", 0.5, 60)
        for said, value in ((60, 60.0), ("0.5", 0.5), (1.5, 1.5), ("1e1", 10.0)):
            self.assertEqual(kind(said), value)
            self.assertIsInstance(kind(said), float)
        wrong: list[Any] = ["0.49", "60.01", "nan", "inf", "x", "", True, None, [1], 61]
        for other in wrong:
            self.assertRefused(
                kind, other, f"{other!r} is not a number of seconds (0.5 to 60)"
            )
        self.assertEqual((kind.metavar, kind.bounds), ("SECONDS", "0.5 to 60"))

    def test_wholeNumbers(self) -> None:
        """
        Whole numbers are C{int}, however they are written.
        """
        kind = Number("bytes", 1, isWhole=True)
        for said, value in (("1", 1), (5, 5), ("1e9", 10**9), (2.0, 2)):
            self.assertEqual(kind(said), value)
            self.assertIsInstance(kind(said), int)
        for said in ("0", "1.5", 1.5, "inf", 10**15 + 1):
            self.assertRefused(
                kind, said, f"{said!r} is not a whole number of bytes (1 or more)"
            )
        self.assertRefused(
            Number("", 0, 255, isWhole=True, metavar="N"),
            "256",
            "'256' is not a whole number (0 to 255)",
        )

    def test_choices(self) -> None:
        """
        A choice is a word, which may stand for another value.
        """
        kind = Choice(("jpg", "png"))
        self.assertEqual(kind("png"), "png")
        self.assertEqual(kind.metavar, "jpg|png")
        self.assertRefused(kind, "gif", "'gif' is not one of jpg, png")
        self.assertRefused(kind, 1, "1 is not one of jpg, png")
        self.assertIs(Choice({"0": False, "1": True})("1"), True)

    def test_nearest(self) -> None:
        """
        For a mistyped choice, the error suggests the nearest word.
        """
        choice = Choice(("native", "gray"))
        error = self.assertRaises(ValueError, choice, "grey")
        self.assertEqual(
            str(error), "'grey' is not one of native, gray; did you mean 'gray'?"
        )
        error = self.assertRaises(ValueError, choice, 5)
        self.assertEqual(str(error), "5 is not one of native, gray")

    def test_switches(self) -> None:
        """
        A switch takes a word, or a boolean from a file.
        """
        kind = Switch()
        self.assertEqual([kind(x) for x in ("on", "off")], [True, False])
        self.assertEqual([kind(x) for x in (True, False)], [True, False])
        for said in ("yes", 1):
            self.assertRefused(kind, said, f"{said!r} is not one of on, off")

    def test_texts(self) -> None:
        """
        A text is not empty, and may be converted.
        """
        self.assertEqual(Text("FILE")("/x"), "/x")
        self.assertEqual(Text("HEX", lambda text: int(text, 16))("ff"), 255)
        self.assertRefused(Text("FILE"), "", "'' is not a valid FILE")
        self.assertRefused(Text("FILE"), 5, "5 is not a valid FILE")
        self.assertRefused(Text("FILE"), "a\0", "'a\\x00' contains a NUL character")

    def test_typed(self) -> None:
        """
        L{typed} returns what to type for a value.
        """
        for value, text in (
            (True, "on"),
            (False, "off"),
            (2.0, "2"),
            (2.5, "2.5"),
            (16777216.0, "16777216"),
            (16777216, "16777216"),
            ("x", "x"),
        ):
            self.assertEqual(typed(value), text)
