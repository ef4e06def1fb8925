"""Files that are written whole: through links, into pipes, and not at all where something fails."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from automl.errors import InputError
from studies.output_files import written_whole


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "folder" / "real.csv", tmp_path / "link.csv"
    real.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    with written_whole(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "link.csv", "real.csv"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    with written_whole(pipe) as file:
        file.write("a,b\n1,2\n")
    reader.join(timeout=30)
    assert read == ["a,b\n1,2\n"]
    assert pipe.is_fifo()


def test_nothing_changes_where_the_block_fails(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(RuntimeError, match="half"), written_whole(tmp_path / "out.csv") as file:
        file.write("new")
        raise RuntimeError("half written")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.csv", "old")]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"), written_whole(tmp_path / "no" / "out.csv"):
        pass
