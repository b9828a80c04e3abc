"""
The configuration of Sphinx.
"""

import re
import sys
import zlib
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import machines  # noqa: E402
import tables  # noqa: E402

from rtmptw import __version__  # noqa: E402
from rtmptw.app import settings  # noqa: E402
from rtmptw.plugins.registry import sinkPlugin, sourcePlugin  # noqa: E402

project = "rtmptw"
release = version = __version__
extensions = ["sphinx.ext.intersphinx", "pydoctor.sphinx_ext.build_apidocs"]
exclude_patterns = ["_build", "memory.rst", "newsfragments", "examples"]
nitpicky = True
html_theme = "alabaster"
html_theme_options = {
    "description": "RTMP media server on Twisted",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_show_copyright = False


def twistedInventory() -> Path:
    """
    Write an inventory of the names of Twisted that the docstrings link to, so that the
    build needs no network.
    """
    names = {
        "twisted.cred.strcred": "module",
        "twisted.internet.defer.Deferred": "class",
        "twisted.plugin.IPlugin": "class",
    }
    lines = "".join(f"{name} py:{kind} 1 $.html -\n" for name, kind in names.items())
    head = "# Sphinx inventory version 2\n# Project: Twisted\n# Version:\n# zlib\n"
    path = HERE / "_build" / "twisted.inv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(head.encode() + zlib.compress(lines.encode()))
    return path


pydoctor_args = [
    "--project-name=rtmptw",
    f"--project-version={__version__}",
    "--docformat=epytext",
    f"--project-base-dir={ROOT}",
    f"--intersphinx-file={twistedInventory()}::https://docs.twisted.org/en/stable/api",
    "--html-output={outdir}/api",
    str(ROOT / "rtmptw"),
]
# The path of pydoctor's pages, relative to ours.
pydoctor_url_path = "api"


class Machine(Directive):
    """
    C{.. machine:: MODULE.NAME} draws the state machine of a transition table.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        place, _, name = self.arguments[0].rpartition(".")
        module = import_module(place)
        picture = machines.draw(getattr(module, name), name)
        self.state.document.settings.record_dependencies.add(module.__file__)
        return [nodes.raw("", f'<p class="machine">{picture}</p>', format="html")]


class Table(Directive):
    """
    A table in reStructuredText.
    """

    def parse(self, lines: list[str], source: str) -> list[nodes.Node]:
        self.state.document.settings.record_dependencies.add(source)
        container = nodes.container()
        self.state.nested_parse(
            StringList(lines, source=source), self.content_offset, container
        )
        return container.children


class Options(Table):
    """
    C{.. options::} shows the options of C{twistd rtmp}.
    """

    def run(self) -> list[nodes.Node]:
        head = ("Option", "Default", "")
        return self.parse(
            tables.listTable(head, tables.settingRows()), settings.__file__
        )


class PluginArguments(Table):
    """
    C{.. arguments:: sink TYPE} or C{.. arguments:: source TYPE} shows the arguments.
    """

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        kind, word = self.arguments
        plugin = {"sink": sinkPlugin, "source": sourcePlugin}[kind](word)
        rows = tables.argumentRows(plugin.arguments)
        source = sys.modules[plugin.dotted.rpartition(".")[0].rpartition(".")[0]]
        return self.parse(
            tables.listTable(("Argument", "Default", ""), rows), source.__file__
        )


class ReleaseNotes(Directive):
    """
    C{.. release-notes::} shows towncrier's news and the fragments of the next one.
    """

    def run(self) -> list[nodes.Node]:
        text = self._waiting() + (HERE / "news.md").read_text(encoding="utf-8")
        lines: list[str] = []
        for line in text.splitlines():
            heading = re.match("##? +(?!News$)(.*)", line)
            if heading:
                # Not a section: sections are not allowed within a directive.
                lines += ["", f".. rubric:: {heading[1]}", ""]
            elif line.startswith(("- ", "  ")):
                lines.append(line.replace("`", "``"))
        container = nodes.container()
        content = StringList(lines, source="news.md")
        self.state.nested_parse(content, self.content_offset, container)
        return container.children

    def _waiting(self) -> str:
        fragments = sorted((HERE / "newsfragments").glob("*.md"))
        if not fragments:
            return ""
        items = [fragment.read_text(encoding="utf-8") for fragment in fragments]
        return "## Next release\n\n" + "".join(f"- {item}" for item in items) + "\n"


def setup(app: Sphinx) -> None:
    app.add_directive("machine", Machine)
    app.add_directive("options", Options)
    app.add_directive("arguments", PluginArguments)
    app.add_directive("release-notes", ReleaseNotes)
