"""Runs a notebook from its first cell to its last in an empty folder, and fails where a cell does.

python -m examples.run_notebook examples/explore.ipynb out/explore.ipynb
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def run(source, target):
    """Executes ``source`` and writes it with its output to ``target``."""
    notebook = nbformat.read(source, as_version=4)
    nbformat.validate(notebook)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


if __name__ == "__main__":
    run(*sys.argv[1:3])
