"""The command ``imblearn-eos``."""

from __future__ import annotations

import argparse
import io
import shlex
import sys
import warnings
from importlib import import_module

from imblearn_eos import __version__
from imblearn_eos._commands import COMMANDS

INTERRUPTED = 130
# What begins a line of its own in an error.
NEW_LINE = "\n    "


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments. None takes those of the process. Without any, the help is printed.

    Returns
    -------
    int
        0, or 130 after Ctrl-C. Bad input ends the process with status 2 and one line that says what
        is wrong.
    """
    argv = sys.argv[1:] if argv is None else argv
    # Escape characters of file and class names that the terminal cannot encode.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _Parser(
        prog="imblearn-eos",
        description="Expansive over-sampling (EOS) of photos, embeddings, texts and tables.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_CommandParser)
    for name, (module, text) in COMMANDS.items():
        commands.add_parser(name, help=text, module=module)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            options = parser.parse_args(argv or ["--help"])
            options.run(options, options.get_default, shlex.join([parser.prog, *argv]))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, MemoryError, OSError, ValueError) as error:
        parser.error(str(error) or type(error).__name__)
    return 0


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """Print a warning without the line of code that it comes from."""
    print(f"Warning: {' '.join(str(message).split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        # One line: the usage that argparse prints above the message hides it.
        lines = [" ".join(line.split()) for line in str(message).split(NEW_LINE)]
        self.exit(2, f"{self.prog}: error: {NEW_LINE.join(lines)}\n")


class _CommandParser(_Parser):
    """The parser of one command, whose module is imported when it parses."""

    def __init__(self, module, **params):
        super().__init__(**params)
        self.module = module

    def parse_known_args(self, args=None, namespace=None):
        module = import_module(self.module)
        module.add_options(self)
        self.set_defaults(run=module.run, get_default=self.get_default)
        return super().parse_known_args(args, namespace)


if __name__ == "__main__":
    sys.exit(main())
