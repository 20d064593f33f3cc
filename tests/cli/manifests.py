"""Manifests for the tests, and what is in them."""

from __future__ import annotations

VIEWER_URI = "https://viewer.example.org/oauth/callback"
CATALOGUE_URI = "https://sensors.example.org/auth/callback"
TWO = f"""\
apps:
  - name: Digital Twin Viewer
    redirect_uri: {VIEWER_URI}
    base_url: https://viewer.example.org
    owner_email: twin-team@example.org
    description: 3-D viewer of plant models
    path: viewer
  - name: Sensor Catalogue
    redirect_uri: {CATALOGUE_URI}
    owner_email: sensors@example.org
"""


def uri(number: int) -> str:
    return f"https://app{number}.example.org/oauth/callback"


def many(count: int) -> str:
    """This many applications, at the paths app-0, app-1 and so on."""
    entries = (
        f"  - {{name: App {number}, redirect_uri: '{uri(number)}', owner_email: team@example.org, description: made}}\n"
        for number in range(count)
    )
    return "apps:\n" + "".join(entries)
