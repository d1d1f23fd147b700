"""The templates of the report: the page, the model card and the files that load the model."""

from __future__ import annotations

import json
import re
from importlib import resources

from imblearn_eos._extras import import_extra

NOTHING = "-"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def render(name, /, **content):
    """Return the text of a template; names in pages are escaped, names elsewhere are not."""
    jinja2 = import_extra("jinja2", "report")
    environment = jinja2.Environment(
        autoescape=name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = lambda value: _format(value, ".4f")
    environment.filters["seconds"] = lambda value: _format(value, ".3f")
    environment.filters["zip"] = zip
    environment.filters["options"] = _mark_options
    environment.filters["percent"] = lambda value: _format(value and 100 * value, ".1f")
    # A string of JSON is one of YAML.
    environment.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    folder = resources.files("imblearn_eos.compare").joinpath("templates")
    return environment.from_string(folder.joinpath(name).read_text("utf-8")).render(**content)


def _mark_options(text):
    """Return escaped text with options of the command as code, which a line does not part."""
    markupsafe = import_extra("markupsafe", "report")
    marked = OPTION.sub(r"<code>\g<0></code>", str(markupsafe.escape(text)))
    return markupsafe.Markup(marked)


def _format(value, specification):
    return NOTHING if value is None else format(value, specification)
