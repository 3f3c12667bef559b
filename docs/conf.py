"""Sphinx settings; `python -m sphinx -W docs docs/_build` builds the pages."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import kd_det  # noqa: E402

project = 'kd_det'
author = 'the kd_det developers'
release = kd_det.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
]
exclude_patterns = ['_build', 'requirements.txt']
html_theme = 'furo'

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

# Types stand in the signatures; forward() is documented, nn.Module is not.
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
