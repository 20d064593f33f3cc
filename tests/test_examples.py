"""Every example manifest is valid on every target that the examples speak of."""

from __future__ import annotations

from pathlib import Path

import pytest

from registrar import manifest
from registrar.model import Application, Target

MANIFESTS = Path(__file__).parent.parent / "manifests"


def load(path: Path, target: str) -> manifest.Manifests:
    return manifest.load([path], Target(target, "", "", ""))


@pytest.mark.parametrize("target", ["default", "sandbox", "dev", "test", "prod"])
@pytest.mark.parametrize("path", [*sorted(MANIFESTS.iterdir()), MANIFESTS], ids=lambda path: path.name)
def test_examples_have_no_findings(path: Path, target: str) -> None:
    loaded = load(path, target)
    assert loaded.findings == ()
    assert loaded.applications


def test_examples_show_every_key() -> None:
    by_path = {application.path: application for application in load(MANIFESTS, "sandbox").applications}
    assert set(by_path) == {"viewer", "sensor-catalogue", "lab/notebook", "lab/load-test", "control-room/dashboard"}
    assert by_path["viewer"] == Application(
        path="viewer",
        name="Digital Twin Viewer",
        redirect_uri="https://viewer.example.org/oauth/callback",
        base_url="https://viewer.example.org",
        owner_email="twin-team@example.org",
        description="3-D viewer of plant models",
        source=f"{MANIFESTS / 'twin-platform.yaml'}:6:5",
    )
    assert by_path["sensor-catalogue"].base_url is None
    assert by_path["sensor-catalogue"].description == ""
    assert by_path["control-room/dashboard"].protected


def test_examples_differ_by_target() -> None:
    dev = {application.path: application for application in load(MANIFESTS, "dev").applications}
    assert dev["lab/notebook"].redirect_uri == "http://127.0.0.1:8080/oauth/callback"
    assert "lab/load-test" not in {application.path for application in load(MANIFESTS, "prod").applications}
