"""Ansible at the same work: installed into a folder of the benchmark's own, with the modules that people use for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks import bare
from tests.benchmarks.contest import Cost, cost

# the collections come with `ansible`, whose core alone has no module for Vault
_PACKAGES = ("ansible", "hvac")


def installed(home: Path) -> Path:
    """The folder of the programs; as large as half a gigabyte, so it may be one that is there already."""
    known = os.environ.get("REGISTRAR_BENCHMARK_ANSIBLE")
    programs = Path(known) if known else home / "ansible" / "bin"
    if not (programs / "ansible-playbook").exists():
        subprocess.run([sys.executable, "-m", "venv", programs.parent], check=True)
        subprocess.run([programs / "pip", "install", "--quiet", *_PACKAGES], check=True)
    return programs


def played(programs: Path, home: Path, environ: Mapping[str, str], count: int) -> Cost:
    """What a playbook that registers so many, stores and describes them takes; numbered from the count on."""
    token = bare.token(environ)
    playbook = home / f"playbook-{count}.yaml"
    applications = [bare.application(number + count * 1_000) for number in range(count)]
    playbook.write_text(_PLAYBOOK)
    variables = home / f"variables-{count}.json"
    variables.write_text(json.dumps({"applications": applications, "nexus_token": token}))
    command = [str(programs / "ansible-playbook"), "-i", "localhost,", "-e", f"@{variables}", str(playbook)]
    return cost(command, {**environ, "ANSIBLE_HOME": str(home / "ansible-home"), "LC_ALL": "C.UTF-8"})


_PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    nexus: "{{ lookup('env', 'NEXUS_URL') }}/api/v2/oauth/applications"
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: register
      ansible.builtin.uri:
        url: "{{ nexus }}"
        method: POST
        headers: {Authorization: "Bearer {{ nexus_token }}", Accept: application/json}
        body_format: json
        body:
          name: "{{ item.name }}"
          callbackUrl: "{{ item.redirect_uri }}"
          baseUrl: "{{ item.base_url }}"
          appOwnerEmail: "{{ item.owner_email }}"
          description: being registered
        status_code: [200, 201]
      loop: "{{ applications }}"
      no_log: true
      register: made
    - name: store
      community.hashi_vault.vault_kv2_write:
        url: "{{ lookup('env', 'VAULT_ADDR') }}"
        auth_method: token
        token: "{{ lookup('env', 'VAULT_TOKEN') }}"
        engine_mount_point: secret
        path: "nexus/{{ item.item.path }}"
        cas: 0
        data: {client_id: "{{ item.json.clientId }}", client_secret: "{{ item.json.clientSecretRaw }}"}
      loop: "{{ made.results }}"
      no_log: true
    - name: list
      ansible.builtin.uri:
        url: "{{ nexus }}?hideArchived=false&pageNumber=1&pageSize=500"
        headers: {Authorization: "Bearer {{ nexus_token }}", Accept: application/json}
      register: listed
    - name: describe
      ansible.builtin.uri:
        url: "{{ nexus }}/{{ (listed.json['items'] | selectattr('clientId', 'eq', item.json.clientId) | first).id }}"
        method: PUT
        headers: {Authorization: "Bearer {{ nexus_token }}", Accept: application/json}
        body_format: json
        body: {description: ""}
      loop: "{{ made.results }}"
      no_log: true
"""
