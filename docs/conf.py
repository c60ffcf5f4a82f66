"""How `make site` makes a site of these pages; nothing in it is fetched from elsewhere."""

from __future__ import annotations

project = "ecrate"
copyright = "the authors of ecrate, Apache-2.0"  # noqa: A001 - its name in Sphinx
extensions = ["myst_parser"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Amazon ECR on your own machine",
    "fixed_sidebar": True,
    "page_width": "70rem",
}
html_show_sphinx = False
html_copy_source = False
# Links to a page's headings are written as GitHub makes them, so that both find them.
myst_heading_anchors = 4
