"""Reports: a page that holds whatever names people choose."""

from __future__ import annotations

from automl.task import load_task
from studies.commands.report import report_html
from studies.study import create_study


def test_names_cannot_bring_markup_into_the_page() -> None:
    study = create_study("<b>study</b>", task=load_task("iris", name="<i>task</i>"), sampler="random", storage=None)
    page = report_html(study)
    assert "<b>" not in page and "<i>" not in page
    assert "&lt;b&gt;study" in page and "<td>&lt;i&gt;task" in page
