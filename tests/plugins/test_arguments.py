"""
Tests for L{rtmptw.plugins.arguments}.
"""

from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from rtmptw.plugins.arguments import (
    Argument,
    Arguments,
    First,
    Fragment,
    Others,
    splitArguments,
)
from rtmptw.plugins.registry import sinkPlugins, sourcePlugins
from rtmptw.plugins.sink import SinkPlugin
from rtmptw.plugins.source import SourcePlugin
from rtmptw.plugins.values import Choice, Number, Text

EVERY = Argument("every", Number("seconds", 1), "how often", "60")
LABEL = Argument("label", Text("WORD"), "what to call it")

COLONS = Arguments(
    "count sink", EVERY, LABEL, first=First(Text("FILE"), "where to count", "x")
)
FRAGMENT = Arguments(
    "send sink",
    EVERY,
    LABEL,
    first=First(Text("URL"), "a URL", example="send:udp://HOST"),
    spelling=Fragment(),
)
OTHERS = Arguments(
    "send sink",
    EVERY,
    first=First(Text("URL"), "a URL", example="send:udp://HOST"),
    others=Others("OPTION", "anything"),
    spelling=Fragment(),
)


class ArgumentsTestCase(SynchronousTestCase):
    """
    Base class of tests that read arguments.
    """

    def assertRefused(self, arguments: Arguments, text: str, sentence: str) -> None:
        """
        Check that the arguments are refused with this sentence.
        """
        error = self.assertRaises(UsageError, arguments.read, text)
        self.assertEqual(str(error), sentence)


class ColonTests(ArgumentsTestCase):
    """
    Arguments spelled C{FIRST:NAME=VALUE}.
    """

    def test_values(self) -> None:
        """
        Every argument gets a value: its own or the default. A backslash escapes.
        """
        for text, values in {
            "": ("x", 60.0, None),
            "y": ("y", 60.0, None),
            ":every=5": ("x", 5.0, None),
            "every=5": ("x", 5.0, None),
            "y:label=a=b:every=5": ("y", 5.0, "a=b"),
            r"C\:\\y\=:label=a\:b": (r"C:\y=", 60.0, "a:b"),
        }.items():
            self.assertEqual(
                COLONS.read(text),
                dict(zip(("FILE", "every", "label"), values, strict=True)),
                text,
            )

    def test_refused(self) -> None:
        """
        Bad arguments are refused in one sentence that lists the valid options.
        """
        there = "only every=SECONDS, label=WORD"
        for text, sentence in {
            "y:color=red": f"The count sink has no option 'color', {there}.",
            "y:z": f"The count sink has no option 'z', {there}; write a colon in a "
            "directory or name as \\:.",
            "y:": f"The count sink has no option '', {there}; write a colon in a "
            "directory or name as \\:.",
            "y:=5": f"The count sink has no option '', {there}.",
            "y:every=5:every=5": "The count sink got every= twice.",
            "y:every": "The count sink's option 'every' needs a value: every=SECONDS.",
            "y:label=": "The count sink's option 'label' needs a value: label=WORD.",
            "y:every=x": "The count sink's every 'x' is not a number of seconds (1 "
            "or more).",
            "a\0": "The count sink's FILE 'a\\x00' contains a NUL character.",
        }.items():
            self.assertRefused(COLONS, text, sentence)

    def test_aFirstThatMustBeSaid(self) -> None:
        """
        If a required first argument is missing, the sentence has an example.
        """
        arguments = Arguments(
            "decode sink",
            EVERY,
            first=First(Text("NAME"), "a name", example="decode:x.y"),
        )
        for text in ("", ":every=5", "every=5"):
            self.assertRefused(
                arguments, text, "The decode sink needs a name, such as decode:x.y."
            )
        self.assertEqual(arguments.read("n"), {"NAME": "n", "every": 60.0})
        self.assertEqual(arguments.argumentFormat, ":NAME[:every=SECONDS]")

    def test_none(self) -> None:
        """
        A table may be empty.
        """
        arguments = Arguments("null sink")
        self.assertEqual(arguments.read(""), {})
        self.assertEqual(arguments.argumentFormat, "")
        for text in ("x", "x=1"):
            self.assertRefused(
                arguments, text, f"The null sink takes no arguments, not {text!r}."
            )

    def test_onlyAFirst(self) -> None:
        """
        A table may have only a first argument.
        """
        arguments = Arguments("x sink", first=First(Text("WORD"), "a word", "w"))
        self.assertEqual(arguments.read("v"), {"WORD": "v"})
        self.assertRefused(arguments, "v:y=1", "The x sink has no option 'y'.")

    def test_noFirst(self) -> None:
        """
        A table may have no first argument.
        """
        arguments = Arguments("x sink", EVERY)
        self.assertEqual(arguments.read("every=2"), {"every": 2.0})
        self.assertRefused(
            arguments,
            "y",
            "The x sink has no option 'y', only every=SECONDS; write a colon in a "
            "directory or name as \\:.",
        )


class FragmentTests(ArgumentsTestCase):
    """
    Arguments spelled C{FIRST#NAME=VALUE&NAME=VALUE}.
    """

    def test_values(self) -> None:
        """
        The first argument is taken unchanged, without escapes.
        """
        for text, values in {
            r"udp://h:1/a\b=c&d": (r"udp://h:1/a\b=c&d", 60.0, None),
            "udp://h#": ("udp://h", 60.0, None),
            "udp://h#every=5&label=a=b:c": ("udp://h", 5.0, "a=b:c"),
            r"udp://h#label=a\&b\\&every=5": ("udp://h", 5.0, r"a&b" + "\\"),
            "udp://h#label=a%20b+c": ("udp://h", 60.0, "a%20b+c"),
            # A URL has no number sign, but a path may have one.
            "udp://h#label=a#b": ("udp://h", 60.0, "a#b"),
            "/srv/a#b/c#label=d": ("/srv/a#b/c", 60.0, "d"),
        }.items():
            self.assertEqual(
                FRAGMENT.read(text),
                dict(zip(("URL", "every", "label"), values, strict=True)),
                text,
            )

    def test_anotherMark(self) -> None:
        """
        Another mark can separate a first argument that contains number signs.
        """
        arguments = Arguments(
            "pipe sink",
            EVERY,
            first=First(Text("LINE"), "a line", example="pipe:cat"),
            spelling=Fragment(" #"),
        )
        self.assertEqual(
            arguments.read("cat a#b #every=5"), {"LINE": "cat a#b", "every": 5.0}
        )
        self.assertEqual(arguments.argumentFormat, ":LINE[ #[every=SECONDS]]")

    def test_refused(self) -> None:
        """
        Bad arguments are refused with the same sentences, which never quote the URL.
        """
        there = "only every=SECONDS, label=WORD"
        for text, sentence in {
            "": "The send sink needs a URL, such as send:udp://HOST.",
            "#every=5": "The send sink needs a URL, such as send:udp://HOST.",
            "udp://s3cret#z": f"The send sink has no option 'z', {there}.",
            "udp://s3cret#every=5&": f"The send sink has no option '', {there}.",
            "udp://s3cret#every=5&every=5": "The send sink got every= twice.",
        }.items():
            self.assertRefused(FRAGMENT, text, sentence)

    def test_others(self) -> None:
        """
        A table may accept names that are not in it.
        """
        self.assertEqual(
            OTHERS.read("u#a=1&every=5&b="),
            {"URL": "u", "every": 5.0, "OPTION": {"a": "1", "b": ""}},
        )
        self.assertEqual(OTHERS.read("u")["OPTION"], {})
        self.assertRefused(OTHERS, "u#a=1&a=2", "The send sink got a= twice.")
        self.assertRefused(
            OTHERS, "u#a", "The send sink's option 'a' needs a value: a=VALUE."
        )
        self.assertRefused(
            OTHERS,
            "u#=1",
            "The send sink has no option '', only every=SECONDS, OPTION=VALUE.",
        )


class HelpTests(SynchronousTestCase):
    """
    The help texts made from a table.
    """

    def test_format(self) -> None:
        """
        The format is one line.
        """
        self.assertEqual(COLONS.argumentFormat, "[:FILE][:every=SECONDS][:label=WORD]")
        self.assertEqual(FRAGMENT.argumentFormat, ":URL[#[every=SECONDS][&label=WORD]]")
        self.assertEqual(
            OTHERS.argumentFormat, ":URL[#[every=SECONDS][&OPTION=VALUE...]]"
        )

    def test_help(self) -> None:
        """
        The help has every argument with its bounds and default, in narrow lines.
        """
        self.assertEqual(
            COLONS.help(),
            "  FILE           where to count [default: x]\n"
            "  every=SECONDS  how often, 1 or more [default: 60]\n"
            "  label=WORD     what to call it",
        )
        self.assertIn("\n  OPTION=VALUE...  anything", OTHERS.help())
        wide = Arguments("x", Argument("a", Choice(("b", "c")), "long " * 50))
        self.assertTrue(all(len(line) < 80 for line in wide.help().splitlines()))
        self.assertEqual(wide.help().count("long"), 50)
        self.assertEqual(Arguments("x").help(), "")

    def test_thePluginsSayTheSame(self) -> None:
        """
        The format line that a plugin's object has written down, because it imports
        nothing, equals that of its table. Its help explains every argument.
        """
        plugins: list[Any] = [*sinkPlugins(), *sourcePlugins()]
        ours = [
            plugin
            for plugin in plugins
            if isinstance(plugin, SinkPlugin | SourcePlugin)
            and plugin.dotted.startswith("rtmptw.")
        ]
        self.assertEqual(len(ours), 10)
        for plugin in ours:
            arguments = plugin.arguments
            assert arguments is not None
            self.assertEqual(plugin.argumentFormat, arguments.argumentFormat)
            text = (
                plugin.sinkHelp if isinstance(plugin, SinkPlugin) else plugin.sourceHelp
            )
            self.assertIn(arguments.help(), text)
            self.assertNotIn("@raise", text)


class SplitTests(SynchronousTestCase):
    """
    L{splitArguments}, which also reads the encoders of a feed.
    """

    def test_split(self) -> None:
        """
        A backslash takes the next character literally.
        """
        self.assertEqual(
            list(splitArguments("a:b=c=d:\\=e\\")),
            [(None, "a"), ("b", "c=d"), (None, "=e\\")],
        )
        self.assertEqual(
            list(splitArguments("a=b:c&d", "&")), [("a", "b:c"), (None, "d")]
        )
