"""The dashboard over a real storage, asked over HTTP."""

from __future__ import annotations

import json
import math
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import optuna
import pytest

from automl.errors import InputError
from kernels.architecture import Architecture
from studies.attributes import DEFINITION, StudyDefinition, TrialFacts
from studies.dashboard.server import dashboard_app, make_server, picture_url, serve
from studies.storage import open_storage

SVG = "{http://www.w3.org/2000/svg}"
NETWORK = Architecture(
    ("ip", "relu", "tanh", "softmax", "op"), (None, 64, 32, None, None), ((0, 1), (1, 2), (2, 3), (3, 4), (1, 3))
)
DEFINITION_FIELDS = StudyDefinition(
    task={}, task_name="digits", task_digest="", metric="accuracy", direction="maximize", space={"type": "mlp"},
    settings={}, sampler="nasbot", seed=0,
)  # fmt: skip


def facts(curve: tuple[float, ...]) -> TrialFacts:
    return TrialFacts(
        architecture=NETWORK.to_dict(),
        depth=NETWORK.depth,
        parameters=7000,
        epochs=len(curve),
        best_epoch=len(curve),
        seconds=1.5,
        curve=curve,
    )


def fill(study: optuna.Study, curves: list[tuple[float, ...]]) -> None:
    study.set_user_attr(DEFINITION, DEFINITION_FIELDS.to_dict())
    for curve in curves:
        study.add_trial(
            optuna.trial.create_trial(
                params={"learning_rate": 0.01},
                distributions={"learning_rate": optuna.distributions.FloatDistribution(1e-4, 1.0)},
                value=curve[-1],
                user_attrs=facts(curve).to_user_attrs(),
            )
        )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a dashboard over an SQLite file with one study of two trials."""
    storage = open_storage(f"sqlite:///{tmp_path_factory.mktemp('dashboard') / 'studies.db'}")
    study = optuna.create_study(study_name="digits", storage=storage, direction="maximize")
    fill(study, [(0.5, 0.7, 0.8), (0.6, math.nan, 0.9)])
    with make_server(dashboard_app(storage), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def get(address: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(address, timeout=30) as response:
        return response.headers["Content-Type"], response.read()


def detail(url: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(get(f"{url}/api/studies/1")[1])
    return answer


def notes(url: str) -> list[str]:
    trials = detail(url)["trials"]
    assert isinstance(trials, list)
    return [trial["note"]["body"] for trial in trials]


def test_the_page_and_its_script_are_served(url: str) -> None:
    assert b"bundle.js" in get(f"{url}/dashboard")[1]
    assert len(get(f"{url}/static/bundle.js")[1]) > 100_000


def test_every_finished_trial_has_a_note_with_its_facts_and_picture(url: str) -> None:
    first, second = notes(url)
    assert "depth **4** · parameters **7,000** · epochs **3** · best epoch **3** · seconds **1.50**" in first
    assert picture_url(1, 1, "trial") in first
    assert picture_url(1, 2, "trial") in second


def test_the_picture_shows_the_architecture_and_the_learning_curve(url: str) -> None:
    kind, body = get(url + picture_url(1, 1, "trial"))
    assert kind.startswith("image/svg+xml")
    network, curve = ElementTree.fromstring(body).findall(f"{SVG}svg")
    texts = [element.text for element in network.iter(f"{SVG}text")]
    assert {"input", "relu", "64 units", "tanh", "32 units", "softmax", "output", "Trial 0"} <= set(texts)
    title = curve.find(f"{SVG}title")
    assert title is not None and title.text == "Validation accuracy: 0.8 after 3 epochs"


def test_architecture_and_curve_are_served_apart_as_well(url: str) -> None:
    for kind in ("architecture", "curve"):
        root = ElementTree.fromstring(get(url + picture_url(1, 2, kind))[1])
        assert root.attrib["class"] == kind


@pytest.mark.parametrize(
    "path",
    [
        picture_url(1, 99, "trial"),
        picture_url(99, 1, "curve"),
        picture_url(1, 10**30, "trial"),
        picture_url(1, 9 * 10**17, "trial"),
        "/automl/nothing.svg",
    ],
)
def test_what_does_not_exist_is_not_found(url: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        get(url + path)
    assert error.value.code == 404


def test_the_studys_note_shows_the_best_trial(url: str) -> None:
    note = detail(url)["note"]
    assert isinstance(note, dict)
    assert "- best value: **0.9 (trial 1)**" in note["body"]
    assert picture_url(1, 2, "architecture") in note["body"]


def test_a_note_that_somebody_writes_takes_the_place_of_ours(url: str) -> None:
    body = json.dumps({"version": 1, "body": "my own words"}).encode()
    headers = {"Content-Type": "application/json", "Origin": url}
    request = urllib.request.Request(f"{url}/api/studies/1/2/note", body, headers, method="PUT")
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 204
    first, second = notes(url)
    assert "depth" in first
    assert second == "my own words"


def test_only_unknown_trials_are_sent_again(url: str) -> None:
    assert len(json.loads(get(f"{url}/api/studies/1?after=1")[1])["trials"]) == 1


def test_a_picture_costs_a_trial_nothing_in_the_storage(url: str) -> None:
    get(url + picture_url(1, 1, "trial"))
    trials = detail(url)["trials"]
    assert isinstance(trials, list)
    assert trials[0]["artifacts"] == []


def test_a_missing_database_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        serve(f"sqlite:///{tmp_path / 'no.db'}")
    assert list(tmp_path.iterdir()) == []


def test_others_are_let_in_only_with_a_token_or_read_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without a token.*add --token, or --read-only"):
        serve(f"sqlite:///{tmp_path / 'no.db'}", host="0.0.0.0")


def test_a_port_that_is_taken_is_refused(url: str) -> None:
    port = int(url.rpartition(":")[2])
    with pytest.raises(InputError, match=f"127.0.0.1:{port}, which cannot be listened on"):
        make_server(lambda environ, start_response: [], "127.0.0.1", port)


@pytest.mark.parametrize(("host", "short"), [("0.0.0.0", "secret"), ("127.0.0.1", "")])
def test_a_token_is_as_long_as_those_who_reach_the_port_are_many(host: str, short: str) -> None:
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(InputError, match=f"got a token of {len(short)} characters"):
        dashboard_app(storage, host=host, token=short)
    assert callable(dashboard_app(storage, host="127.0.0.1", token="secret"))
