"""The map of modules in CONTRIBUTING names what is there."""

from __future__ import annotations

import re
from fnmatch import filter as matching
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_MAP = (ROOT / "CONTRIBUTING.md").read_text().partition("## What is where")[2].partition("\n## ")[0]


def named(floor: str) -> list[str]:
    """The modules and folders that the map names on a floor; what stands in parentheses are commands."""
    section = _MAP.partition(f"\n`{floor}/`\n")[2].partition("\n\n")[0]
    return re.findall(r"`([a-z_]+\*?)/?`", re.sub(r"\(.*?\)", "", section))


@pytest.mark.parametrize("floor", ["kernels", "automl", "studies"])
def test_every_module_that_the_map_names_exists(floor: str) -> None:
    modules = [path.stem for path in (ROOT / floor).rglob("*") if path.suffix == ".py" or path.is_dir()]
    assert len(named(floor)) > 5
    assert [name for name in named(floor) if not matching(modules, name)] == []
