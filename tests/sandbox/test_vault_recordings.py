"""The Vault stand-in answers every recorded exchange as OpenBao did."""

import subprocess
import sys
from pathlib import Path

import pytest

from registrar.sandbox.http import serving
from registrar.sandbox.state import State
from registrar.sandbox.vault import Vault

RECORDED = Path(__file__).parents[1] / "recorded"
# Logins and namespaces are left to the real thing. What is sealed reads what the group data wrote.
GROUPS = {
    "service,data,lives,metadata,listing,versions,lock": 157,
    "mounts,policies,tokens": 97,
    "data,sealed": 35,
}


@pytest.mark.parametrize("groups", GROUPS)
def test_no_difference_from_the_recording(groups: str) -> None:
    vault = Vault(State(":memory:"))
    with serving(vault) as server:
        command = [sys.executable, str(RECORDED / "record_vault.py"), server.url, "--token", vault.root_token]
        command += [f"--unseal-key={vault.unseal_key}", "--groups", groups]
        command += ["--compare", str(RECORDED / "openbao.json")]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == f"{GROUPS[groups]} exchanges, 0 differences"
