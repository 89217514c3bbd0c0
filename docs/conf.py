"""How Sphinx makes the site of these pages; ``./dev docs`` calls it, and a warning is a failure."""

import os
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(__file__))

import generated

import sandcell

project = "sandcell"
version = release = sandcell.__version__
copyright = "the sandcell authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Real images and containers in Jupyter",
    "sidebar_width": "250px",
    "page_width": "1150px",
}
toc_object_entries = False
html_show_sourcelink = False
myst_heading_anchors = 3
default_role = "code"
highlight_language = "text"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False


def setup(app: Any) -> None:
    """Pages are completed by what the code says of itself, and docstrings keep their shape."""
    app.connect("source-read", generated.complete)
    app.connect("autodoc-process-docstring", generated.tidy)
