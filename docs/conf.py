"""How Sphinx builds this site: ``make docs``."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.sorting import ExplicitOrder

import imblearn_eos

# sentence-transformers imports torchvision if it is there, and fails if it is built for another
# torch. The gallery does not need it.
sys.modules["torchvision"] = None

project = "imblearn-eos"
author = "The imblearn-eos developers"
copyright = f"{datetime.now(UTC):%Y}, {author}. MIT license"
release = version = imblearn_eos.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "examples"]
# In docstrings, `name` is a link where there is such a name in the package.
default_role = "autolink"
nitpicky = True
# Nothing is downloaded while building, so names of other projects have no links.
nitpick_ignore_regex = [("py:.*", r"(imblearn|joblib|matplotlib|numpy|sklearn|skorch|torch)\..*")]

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block"]
# Files that the Markdown pages link to, and the pages of this site that show them.
PAGES_OF_FILES = {
    r"examples/(plot_\w+)\.py": r"auto_examples/\2.rst",
    r"\.\./benchmarks/cifar_lt/README\.md": "cifar.md",
    r"\.\./benchmarks/README\.md": "benchmarks.md",
}

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_default_options = {
    # scikit-learn adds these to every estimator, for metadata that none here takes.
    "exclude-members": "set_fit_request, set_predict_request, set_predict_proba_request, "
    "set_score_request, set_transform_request",
}
numpydoc_show_class_members = False
extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s")}

examples = [path.name for path in Path(__file__).parent.glob("examples/plot_*.py")]
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    # By number: 10 comes after 9.
    "within_subsection_order": ExplicitOrder(
        [*sorted(examples, key=lambda name: int(name.split("_")[1])), "*"]
    ),
    "copyfile_regex": r".*\.csv\.gz",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("imblearn_eos",),
    "reference_url": {"imblearn_eos": None},
    "image_srcset": ["2x"],
    "thumbnail_size": (400, 280),
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "show_memory": False,
    # Its page of times would load scripts from elsewhere.
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 1,
}

html_theme = "pydata_sphinx_theme"
html_title = html_short_title = "imblearn-eos"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
# Pages without sub-pages have nothing to show on the left.
html_sidebars = {name: [] for name in ("index", "benchmarks", "cifar", "changelog", "contributing")}
html_theme_options = {
    "logo": {"text": "imblearn-eos"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,
    "primary_sidebar_end": [],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
    "show_toc_level": 2,
}
html_math_renderer = "mathml"


def _inline_mathml(translator, node):
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block_mathml(translator, node):
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def _adapt_markdown(app, docname, source):
    """Adapt a page that GitHub shows, too: its links lead to files, here they lead to pages."""
    text = source[0]
    # doctest needs the blank line at the end of a block, readers do not.
    text = re.sub(r"\n\n```\n(?=\n|\Z)", "\n```\n", text)
    text = re.sub(r"\[`(\w+)`\]\((?:\.\./)?api\.rst\)", r"{py:obj}`\1 <.\1>`", text)
    for pattern, page in PAGES_OF_FILES.items():
        text = re.sub(rf"\]\(((?:\.\./)*){pattern}", rf"](\1{page}", text)
    if docname == "guide/index":
        pages = dict.fromkeys(re.findall(r"\]\((\w+)\.md\)", text))
        text += "\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"
    source[0] = text


def setup(app):
    """Write formulas as MathML, which browsers draw by themselves: MathJax would be downloaded."""
    app.add_html_math_renderer("mathml", (_inline_mathml, None), (_block_mathml, None))
    app.connect("source-read", _adapt_markdown)
