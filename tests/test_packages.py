"""What is installed: every folder of the three floors, and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_folder_of_modules_is_installed_and_no_test_is() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for floor in ("automl", "kernels", "studies")
        for path in (ROOT / floor).rglob("*.py")
    }
    assert set(settings["tool"]["setuptools"]["packages"]) == folders
    assert all((ROOT / folder.replace(".", "/") / "__init__.py").is_file() for folder in folders)
