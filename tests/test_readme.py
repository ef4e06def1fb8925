"""The README's commands fit the program and each other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer.main

from studies.cli import app

_README = (Path(__file__).parent.parent / "README.md").read_text()


def commands() -> list[list[str]]:
    """The arguments of every command that a block of the README shows."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", _README, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("automl ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_every_command_and_option_of_the_readme_exists() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # typer's group has them
    assert len(commands()) >= 4
    for name, *arguments in commands():
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options


def test_the_model_that_predicts_is_the_one_that_was_saved() -> None:
    saved = {arguments[arguments.index("--model") + 1] for arguments in commands() if "--model" in arguments}
    assert {arguments[1] for arguments in commands() if arguments[0] == "predict"} == saved != set()
