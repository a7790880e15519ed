"""What a notebook shows of runs and of rendered files: in JupyterLab, trusted or not, on GitHub and in a PDF."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

import diffanim
from support.pages import Tags
from support.synthetic import latent_run, synthetic_run

CELLS = """\
import diffanim
run = diffanim.Trajectory.open("run.zarr")
run
---
diffanim.render(run, "out.gif", "run.html", size=(480, None))
---
diffanim.show(run, panels="x,x0,eps", theme="dark")
---
diffanim.Trajectory.open("latents.zarr")
---
print(run)
"""
PATIENCE = 120


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """An example notebook, as it is after all its cells were run."""
    folder = tmp_path_factory.mktemp("notebook")
    record(folder / "run.zarr")
    latent_run(folder / "latents.zarr")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS.split("---\n")])
    client = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(folder)}})
    return client.execute(env={**os.environ, "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)})
