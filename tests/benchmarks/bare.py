"""What one would write without registrar, and no line more: `python -m tests.benchmarks.bare WORK …`.

No plan, no lock, no check, no mark that a dead run would leave behind: what these leave out is what they are measured
for. Each imports what it uses alone, as such a script would.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

FOLDER = "nexus"
PAGE = 500


def application(number: int) -> dict[str, str]:
    """The same one that the manifest of this size has at this place."""
    return {
        "path": f"app-{number:05d}",
        "name": f"Application {number:05d} of team {number % 100:02d}",
        "redirect_uri": f"https://app{number:05d}.example.org/oauth/callback",
        "base_url": f"https://app{number:05d}.example.org",
        "owner_email": f"owner{number % 97}@example.org",
    }


def registered(count: int, parallelism: int) -> None:
    """Register so many, store each credential, describe it, and give each its description: httpx and hvac in a pool."""
    import httpx
    import hvac
    import requests
    from requests.adapters import HTTPAdapter

    url = f"{os.environ['NEXUS_URL']}/api/v2/oauth/applications"
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=parallelism))
    vault = hvac.Client(os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"], session=session)
    keys = vault.secrets.kv.v2
    limits = httpx.Limits(max_connections=parallelism, max_keepalive_connections=parallelism)
    with httpx.Client(limits=limits, timeout=60, headers=_nexus_headers()) as nexus:

        def register(number: int) -> str:
            wanted = application(number)
            path = f"{FOLDER}/{wanted['path']}"
            body = {
                "name": wanted["name"],
                "callbackUrl": wanted["redirect_uri"],
                "baseUrl": wanted["base_url"],
                "appOwnerEmail": wanted["owner_email"],
                "description": "being registered",
            }
            made = _well(nexus.post(url, json=body)).json()
            secret = {"client_id": made["clientId"], "client_secret": made["clientSecretRaw"]}
            keys.create_or_update_secret(path, secret, cas=0)
            facts = {
                "name": wanted["name"],
                "client-id": made["clientId"],
                "owner": wanted["owner_email"],
                "redirect-uri": wanted["redirect_uri"],
                "base-url": wanted["base_url"],
            }
            keys.update_metadata(path, custom_metadata=facts)
            return str(made["clientId"])

        with ThreadPoolExecutor(parallelism) as pool:
            client_ids = list(pool.map(register, range(count)))
            found = {one["clientId"]: one["id"] for one in _pages(nexus, url)}

            def describe(client_id: str) -> None:
                _well(nexus.put(f"{url}/{found[client_id]}", json={"description": ""}))

            list(pool.map(describe, client_ids))


def read(manifest: str, folder: bool, parallelism: int) -> None:
    """Everything that a plan has to read: the manifest, Nexus's list, the lock, each record's metadata; decoded."""
    import json

    import urllib3
    import yaml

    yaml.load(Path(manifest).read_text(), Loader=yaml.CSafeLoader)
    both = urllib3.PoolManager(maxsize=parallelism, block=True)
    at = f"{os.environ['NEXUS_URL']}/api/v2/oauth/applications?hideArchived=false&pageSize={PAGE}&pageNumber="
    known, page = _nexus_headers(), 1
    while json.loads(both.urlopen("GET", f"{at}{page}", headers=known).data)["hasNext"]:
        page += 1
    ask = partial(_stored, both)
    ask(f"data/{FOLDER}/.registrar/lock")
    if folder:
        after = ""
        while True:
            keys = ask(f"detailed-metadata/{FOLDER}?list=true&limit={PAGE}{after}")["keys"]
            if len(keys) < PAGE:
                return
            after = f"&after={keys[-1]}"
    keys = [key for key in ask(f"metadata/{FOLDER}?list=true")["keys"] if not key.endswith("/")]
    with ThreadPoolExecutor(parallelism) as pool:
        list(pool.map(lambda key: ask(f"metadata/{FOLDER}/{key}"), keys))


def one_by_one() -> None:
    """Every record's metadata, as one reads it with hvac."""
    import hvac

    keys = hvac.Client(os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"]).secrets.kv.v2
    for key in keys.list_secrets(FOLDER)["data"]["keys"]:
        if not key.endswith("/"):
            keys.read_secret_metadata(f"{FOLDER}/{key}")


def proven(parallelism: int) -> None:
    """Read each credential, and ask for a code and for an exchange of it that is refused for its state alone."""
    from urllib.parse import parse_qs, urlencode, urlsplit

    import urllib3

    both = urllib3.PoolManager(maxsize=parallelism, block=True)
    url = f"{os.environ['NEXUS_URL']}/api/v1/oauth"

    def prove(path: str) -> None:
        found = _stored(both, f"data/{FOLDER}/{path}")["data"]
        number = int(path.rpartition("-")[2])
        ours = {"client_id": found["client_id"], "redirect_uri": application(number)["redirect_uri"]}
        asked = f"{url}/authorize?{urlencode({**ours, 'state': 'one'})}"
        there = both.urlopen("GET", asked, redirect=False).headers["location"]
        code = parse_qs(urlsplit(there).query)["code"][0]
        secret = {"client_secret": found["client_secret"], "code": code, "state": "another"}
        both.urlopen("POST", f"{url}/exchange?{urlencode({**ours, **secret})}")

    paths = [path for path in _stored(both, f"metadata/{FOLDER}?list=true")["keys"] if not path.endswith("/")]
    with ThreadPoolExecutor(parallelism) as pool:
        list(pool.map(prove, paths))


def fetched(path: str) -> None:
    """One credential, with hvac."""
    import json

    import hvac

    keys = hvac.Client(os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"]).secrets.kv.v2
    found = keys.read_secret_version(f"{FOLDER}/{path}", raise_on_deleted_version=True)
    sys.stdout.write(json.dumps(found["data"]["data"]))


def loaded(place: str) -> None:
    """Every YAML file here, by PyYAML's C loader."""
    import yaml

    files = [Path(place)] if Path(place).is_file() else sorted(Path(place).rglob("*.yaml"))
    for file in files:
        yaml.load(file.read_text(), Loader=yaml.CSafeLoader)


def _stored(vault: Any, path: str) -> Any:
    """What Vault has at this path of its KV store, decoded."""
    import json

    headers = {"X-Vault-Token": os.environ["VAULT_TOKEN"]}
    return json.loads(vault.urlopen("GET", f"{os.environ['VAULT_ADDR']}/v1/secret/{path}", headers=headers).data)[
        "data"
    ]


def _nexus_headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {token(os.environ)}", "Accept": "application/json"}


def token(environ: Mapping[str, str]) -> str:
    """A token for the API key in this environment."""
    import json

    import urllib3

    key = {"apiKey": environ["NEXUS_API_KEY"], "apiSecret": environ["NEXUS_API_SECRET"]}
    sent, kind = json.dumps(key).encode(), {"Content-Type": "application/json"}
    answer = urllib3.PoolManager().urlopen(
        "POST", f"{environ['NEXUS_URL']}/api/v2/oauth/tokens", headers=kind, body=sent
    )
    assert answer.status == 200, answer.data
    return answer.data.decode().strip('"')


def _well(response: Any) -> Any:
    """The same answer, unless it is none that was hoped for."""
    response.raise_for_status()  # which gives it back itself from httpx 0.25 on
    return response


def _pages(nexus: Any, url: str) -> Any:
    page = 1
    while True:
        query = {"hideArchived": "false", "pageNumber": page, "pageSize": PAGE}
        found = _well(nexus.get(url, params=query)).json()
        yield from found["items"]
        if not found["hasNext"]:
            return
        page += 1


def main(work: str, *words: str) -> None:
    """Do one of them."""
    match work, words:
        case "apply", (count, parallelism):
            registered(int(count), int(parallelism))
        case "plan", (manifest, how, parallelism):
            read(manifest, how == "folder", int(parallelism))
        case "hvac", ():
            one_by_one()
        case "verify", (parallelism,):
            proven(int(parallelism))
        case "get", (path,):
            fetched(path)
        case "load", (place,):
            loaded(place)
        case _:
            raise SystemExit(f"no such work: {work} {words}")


if __name__ == "__main__":
    main(*sys.argv[1:])
