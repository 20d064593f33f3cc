"""Templates: one credential as the tools that people already have fetch it, ready to be pasted.

Owns that wording, and the quoting for each syntax. Pure, from a credential's place alone: must never be given one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from registrar.errors import UsageError
from registrar.model import Target
from registrar.policy import line, reading

_PLAIN: Final = re.compile(r"[A-Za-z0-9._/:\[\]~-]*")
_LABEL_LIMIT: Final = 63
_SHORT: Final = "15m"  # a rotation's grace is a day unless said otherwise; the new credential has to arrive well within


@dataclass(frozen=True, slots=True)
class Place:
    """Where a credential is, in characters that mean nothing to any of the syntaxes; `key` is its path in the mount."""

    addr: str
    namespace: str
    mount: str
    prefix: str
    path: str

    @property
    def key(self) -> str:
        return f"{self.prefix}/{self.path}"

    @property
    def label(self) -> str:
        """The path as a label of RFC 1123, which Kubernetes, systemd and file systems all take as a name."""
        words = re.sub("[^a-z0-9]+", "-", self.path.lower()).strip("-")
        name = f"nexus-{words}".rstrip("-")
        if len(name) <= _LABEL_LIMIT:
            return name
        digest = hashlib.sha256(self.path.encode()).hexdigest()[:8]  # two long paths may begin alike
        return f"{name[: _LABEL_LIMIT - 9].rstrip('-')}-{digest}"


def place(target: Target, path: str) -> Place:
    """The place of that record; UsageError where it has a character that a template could not say literally."""
    found = Place(target.vault_addr, target.vault_namespace, target.vault_mount, target.vault_prefix, path)
    for text in (found.addr, found.namespace, found.mount, found.key):
        if not _PLAIN.fullmatch(text):
            told = f"{text!r} has characters that a template would have to escape"
            raise UsageError(told, hint="write this configuration by hand")
    return found


def template(form: str, at: Place) -> str:
    """The configuration of this form, one of FORMS."""
    return "\n".join(_WRITERS[form](at))


def _heading(at: Place, *lines: str) -> Iterator[str]:
    """What every template begins with: what it is, and what its login to Vault has to be allowed."""
    yield from (f"# {text}" for text in lines)
    yield "# Its login to Vault needs this line in its policy, and no other:"
    yield f"#   {line(reading(at.mount, at.prefix, at.path))}"


# ── Vault Agent ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _vault_agent(at: Place) -> Iterator[str]:
    folder, file = f"/etc/{at.label}", f"/run/{at.label}/nexus.env"
    yield from _heading(
        at,
        f"Vault Agent or OpenBao Agent: keeps {file} as the credential is now,",
        "for EnvironmentFile= of systemd or --env-file of docker.",
        "Start it with: vault agent -config=FILE, or bao agent -config=FILE",
        "Written after developer.hashicorp.com/vault/docs/agent-and-proxy/agent/template (Vault 1.21),",
        "and run with OpenBao 2.6.",
    )
    yield "vault {"
    yield f"  address = {_quoted(at.addr)}"
    yield "}"
    yield ""
    yield "# AppRole, or whatever login your Vault has for this machine: kubernetes, cert, jwt."
    yield "auto_auth {"
    yield '  method "approle" {'
    if at.namespace:  # of the login, from which the templates take theirs; OpenBao reads none in `vault`
        yield f"    namespace = {_quoted(at.namespace)}"
    yield "    config = {"
    yield f'      role_id_file_path = "{folder}/role-id"'
    yield f'      secret_id_file_path = "{folder}/secret-id"'
    yield "      remove_secret_id_file_after_reading = false"
    yield "    }"
    yield "  }"
    yield "}"
    yield ""
    yield "# The values are letters, digits, - and _, as Nexus makes them: no reader of the file needs quotes."
    yield "template {"
    yield f'  destination = "{file}"'
    yield '  perms = "0600"'
    yield "  error_on_missing_key = true"
    yield "  contents = <<EOT"
    yield f'{{{{ with secret "{at.mount}/data/{at.key}" -}}}}'
    yield "NEXUS_CLIENT_ID={{ .Data.data.client_id }}"
    yield "NEXUS_CLIENT_SECRET={{ .Data.data.client_secret }}"
    yield "{{- end }}"
    yield "EOT"
    yield "  # Restart what uses it, whenever it changes:"
    yield '  # exec { command = ["systemctl", "restart", "YOUR.service"] }'
    yield "}"
    yield ""
    yield "template_config {"
    yield f'  static_secret_render_interval = "{_SHORT}"'
    yield "}"


# ── Kubernetes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _external_secrets(at: Place) -> Iterator[str]:
    yield from _heading(
        at,
        f"External Secrets Operator 0.16 or newer: makes the Secret {at.label}, for envFrom.",
        "Apply it with: kubectl apply -n YOUR-NAMESPACE -f FILE",
        "Written after external-secrets.io/latest/provider/hashicorp-vault (API external-secrets.io/v1).",
    )
    yield "apiVersion: external-secrets.io/v1"
    yield "kind: ExternalSecret"
    yield "metadata:"
    yield f"  name: {_quoted(at.label)}"
    yield "spec:"
    yield f"  refreshInterval: {_SHORT}"
    yield "  secretStoreRef:"
    yield "    kind: SecretStore"
    yield "    name: nexus-vault"
    yield "  target:"
    yield f"    name: {_quoted(at.label)}"
    yield "    creationPolicy: Owner"
    yield "  data:"
    for field in ("client_id", "client_secret"):
        yield f"    - secretKey: NEXUS_{field.upper()}"
        yield "      remoteRef:"
        yield f"        key: {_quoted(_remote_key(at))}"
        yield f"        property: {field}"
    yield ""
    yield "# Where the namespace has no SecretStore for this Vault yet, take the # off what follows."
    yield from _commented(_secret_store(at))


def _remote_key(at: Place) -> str:
    """The key below the store's path: one that begins like that path would be cut, unless it is said in full."""
    return f"{at.mount}/data/{at.key}" if at.key.startswith(f"{at.mount}/") else at.key


def _secret_store(at: Place) -> Iterator[str]:
    yield "---"
    yield "apiVersion: external-secrets.io/v1"
    yield "kind: SecretStore"
    yield "metadata:"
    yield "  name: nexus-vault"
    yield "spec:"
    yield "  provider:"
    yield "    vault:"
    yield f"      server: {_quoted(at.addr)}"
    if at.namespace:
        yield f"      namespace: {_quoted(at.namespace)}"
    yield f"      path: {_quoted(at.mount)}"
    yield "      version: v2"
    yield "      auth:"
    yield "        kubernetes:"
    yield "          mountPath: kubernetes"
    yield f"          role: {_quoted(at.label)}"
    yield "          serviceAccountRef:"
    yield "            name: default"


def _vso(at: Place) -> Iterator[str]:
    yield from _heading(
        at,
        f"Vault Secrets Operator 0.5 or newer: makes the Secret {at.label}, for envFrom.",
        "Apply it with: kubectl apply -n YOUR-NAMESPACE -f FILE",
        "Written after developer.hashicorp.com/vault/docs/deploy/kubernetes/vso/api-reference",
        "(API secrets.hashicorp.com/v1beta1).",
    )
    yield "apiVersion: secrets.hashicorp.com/v1beta1"
    yield "kind: VaultStaticSecret"
    yield "metadata:"
    yield f"  name: {_quoted(at.label)}"
    yield "spec:"
    yield "  vaultAuthRef: nexus-vault"
    if at.namespace:
        yield f"  namespace: {_quoted(at.namespace)}"
    yield f"  mount: {_quoted(at.mount)}"
    yield "  type: kv-v2"
    yield f"  path: {_quoted(at.key)}"
    yield f"  refreshAfter: {_SHORT}"
    yield "  destination:"
    yield f"    name: {_quoted(at.label)}"
    yield "    create: true"
    yield "    transformation:"
    yield "      excludeRaw: true"
    yield '      excludes: [".*"]'
    yield "      templates:"
    for field in ("client_id", "client_secret"):
        yield f"        NEXUS_{field.upper()}:"
        yield f"          text: '{{{{ get .Secrets \"{field}\" }}}}'"
    yield "  # Restart what uses it, whenever it changes:"
    yield "  # rolloutRestartTargets: [{kind: Deployment, name: YOUR-DEPLOYMENT}]"
    yield ""
    yield "# Where the namespace has no VaultAuth for this Vault yet, take the # off what follows."
    yield from _commented(_vault_auth(at))


def _vault_auth(at: Place) -> Iterator[str]:
    yield "---"
    yield "apiVersion: secrets.hashicorp.com/v1beta1"
    yield "kind: VaultConnection"
    yield "metadata:"
    yield "  name: nexus-vault"
    yield "spec:"
    yield f"  address: {_quoted(at.addr)}"
    yield "---"
    yield "apiVersion: secrets.hashicorp.com/v1beta1"
    yield "kind: VaultAuth"
    yield "metadata:"
    yield "  name: nexus-vault"
    yield "spec:"
    yield "  vaultConnectionRef: nexus-vault"
    if at.namespace:
        yield f"  namespace: {_quoted(at.namespace)}"
    yield "  method: kubernetes"
    yield "  mount: kubernetes"
    yield "  kubernetes:"
    yield f"    role: {_quoted(at.label)}"
    yield "    serviceAccount: default"


# ── one machine ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _docker(at: Place) -> Iterator[str]:
    yield from _heading(
        at,
        "Docker Compose: the secret as a file in the container, and nowhere on this machine's disk.",
        f"Start it with: registrar exec {at.path} -- docker compose up -d",
        "Written after docs.docker.com/reference/compose-file/secrets (`docker stack deploy` cannot do it).",
    )
    yield "services:"
    yield "  app:  # yours, with what it has already"
    yield "    environment:  # without a value: taken from where compose runs, which registrar exec sets"
    for name in ("CLIENT_ID", "REDIRECT_URI", "AUTHORIZE_URL", "EXCHANGE_URL"):
        yield f"      - NEXUS_{name}"
    yield "    secrets:"
    yield "      - nexus_client_secret  # the file /run/secrets/nexus_client_secret"
    yield "secrets:"
    yield "  nexus_client_secret:"
    yield "    environment: NEXUS_CLIENT_SECRET"
    yield ""
    yield "# A program that wants the secret in its environment: leave out both `secrets`, and add"
    yield "# NEXUS_CLIENT_SECRET to `environment`. Whoever may run `docker inspect` sees it then."
    yield "# Without registrar where it starts: a file of mode 0600, which does not belong into git or an image, and is"
    yield "# to be made again after a rotation."
    yield f"#   registrar creds get {at.path} --format env --out {at.label}.env"
    yield f"#   docker run --env-file {at.label}.env IMAGE"


def _systemd(at: Place) -> Iterator[str]:
    yield from _heading(
        at,
        "systemd drop-in: starts a service with the credential in its environment, and nothing on disk.",
        "Save it as /etc/systemd/system/YOUR.service.d/nexus.conf, put your own command after `--`, and run:",
        "  systemctl daemon-reload && systemctl restart YOUR.service",
        "Written after systemd.service(5) and systemd.exec(5) of systemd 252.",
    )
    yield "[Service]"
    variables = {
        "VAULT_ADDR": at.addr,
        "VAULT_NAMESPACE": at.namespace,
        "REGISTRAR_VAULT_MOUNT": at.mount,
        "REGISTRAR_VAULT_PREFIX": at.prefix,
    }
    yield from (f'Environment="{name}={value}"' for name, value in variables.items() if value)
    yield "# Readable by root alone, with the lines VAULT_ROLE_ID=… and VAULT_SECRET_ID=… of an AppRole."
    yield f"EnvironmentFile=/etc/{at.label}/vault.env"
    yield "# The empty one takes back the command of the unit itself."
    yield "ExecStart="
    yield f"ExecStart=/usr/local/bin/registrar exec --vault-auth approle {at.path} -- /usr/local/bin/YOUR-PROGRAM"
    yield ""
    yield "# Without registrar on this machine: Vault Agent keeps a file (registrar creds template vault-agent"
    yield f"# {at.path}), and in place of all of the above the unit has"
    yield f"#   LoadCredential=nexus.env:/run/{at.label}/nexus.env"
    yield "# for a program that reads ${CREDENTIALS_DIRECTORY}/nexus.env, or for one that reads its environment"
    yield f"#   EnvironmentFile=/run/{at.label}/nexus.env"


# ── the syntaxes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _quoted(text: str) -> str:
    """A string of JSON, which YAML and HCL read as the same; `1.0`, `null` or `on` may be the name of a mount."""
    return json.dumps(text)


def _commented(lines: Iterator[str]) -> Iterator[str]:
    return (f"# {line}" for line in lines)


_WRITERS: Final[Mapping[str, Callable[[Place], Iterator[str]]]] = {
    "vault-agent": _vault_agent,
    "external-secrets": _external_secrets,
    "vso": _vso,
    "docker": _docker,
    "systemd": _systemd,
}
FORMS: Final = tuple(_WRITERS)
