"""Settings of the documentation site; ``make docs`` builds it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mmdet_ir
from mmdet_ir.version import __version__

assert mmdet_ir  # imported first: mmcv and mmdet cannot be imported without it

project = 'mmdet_ir'
author = 'The mmdet_ir contributors'
copyright = author
version = release = __version__

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
]
exclude_patterns = ['_build', '**/.ipynb_checkpoints']

# Markdown and notebooks: headings get anchors; the notebook is shown with the outputs that are committed.
myst_enable_extensions = ['colon_fence', 'deflist']
myst_heading_anchors = 3
nb_execution_mode = 'off'

# API pages from docstrings.
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = 'furo'
html_title = 'mmdet_ir'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_sourcelink = False
html_theme_options = {
    'light_css_variables': {'color-brand-primary': '#b3400e', 'color-brand-content': '#9c3a10'},
    'dark_css_variables': {'color-brand-primary': '#ff9d5c', 'color-brand-content': '#ffae7a'},
}
copybutton_prompt_text = r'\$ |>>> |\.\.\. '
copybutton_prompt_is_regexp = True
