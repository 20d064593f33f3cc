"""Ways to log in to a real Vault server, set up by its root over the raw API, and what a client shows at each."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registrar.secret import Secret
from tests.contract.vaults import Server
from tests.contract.wire import certified

MOUNTS: Final = {
    "approle": ("approle", "pipelines"),
    "userpass": ("userpass", "people"),
    "jwt": ("jwt", "gitlab"),
    "cert": ("cert", "machines"),
}
"""Where each method is enabled: at its default mount, and at one of another name with the same roles and users."""

ISSUER: Final = "https://gitlab.example.org"
AUDIENCE: Final = "https://vault.example.org"
SUBJECT: Final = "project_path:team/viewer:ref_type:branch:ref:main"


@dataclass(frozen=True)
class Logins:
    """What to show at every mount of a method; each login gives a token with `policy` alone, for `ttl_s` seconds."""

    policy: str
    ttl_s: int
    role_id: str  # of approle
    secret_id: Secret
    username: str  # of userpass
    password: Secret
    role: str  # of jwt, and of cert
    id_token_key: Path  # private; the server has the public one
    certificate: Path  # for a connection to show; its key is `certificate_key`
    certificate_key: Path

    def tls(self, server: Server) -> ssl.SSLContext:
        """What trusts the server and shows it the certificate."""
        context = ssl.create_default_context(cafile=server.authority)
        context.load_cert_chain(self.certificate, self.certificate_key)
        return context

    def id_token(self, **claims: object) -> Secret:
        """An id token as GitLab gives it to a job, good for a minute unless `claims` say otherwise; None leaves out."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "exp": int(time.time()) + 60}
        body = {name: claim for name, claim in (usual | claims).items() if claim is not None}
        text = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, body))
        mark = _openssl("dgst", "-sha256", "-sign", str(self.id_token_key), content=text.encode())
        return Secret(f"{text}.{_base64(mark)}")


def set_up(
    server: Server,
    home: Path,
    policy: str,
    *,
    namespace: str = "",
    methods: Sequence[str] = tuple(MOUNTS),
    mounts: Sequence[str] = (),
    ttl_s: int = 3600,
) -> Logins:
    """Enable the methods at these mounts or at both their own, where they are not yet; each login has the policy."""
    home.mkdir(parents=True, exist_ok=True)
    _, certificate = certified(home)
    key = home / "id-token.pem"
    _openssl("genrsa", "-out", str(key), "2048")
    logins = Logins(
        policy=policy,
        ttl_s=ttl_s,
        role_id=f"role-{secrets.token_hex(8)}",
        secret_id=Secret(secrets.token_hex(16)),
        username="ada",
        password=Secret(f"pass word ö {secrets.token_hex(8)}"),
        role="ci",
        id_token_key=key,
        certificate=certificate,
        certificate_key=certificate.with_name("key.pem"),
    )
    for method in methods:
        for mount in mounts or MOUNTS[method]:
            server.do("POST", f"sys/auth/{mount}", {"type": method}, namespace)
            for path, body in _settings(method, logins):
                server.do("POST", f"auth/{mount}/{path}", body, namespace)
    return logins


def _settings(method: str, logins: Logins) -> list[tuple[str, dict[str, object]]]:
    """What is written below the mount of a method, in this order."""
    token = {
        "token_policies": [logins.policy],
        "token_no_default_policy": True,
        "token_ttl": logins.ttl_s,
        "token_max_ttl": 2 * logins.ttl_s,
    }
    if method == "approle":
        return [
            ("role/ci", token),
            ("role/ci/role-id", {"role_id": logins.role_id}),
            ("role/ci/custom-secret-id", {"secret_id": logins.secret_id.reveal()}),
        ]
    if method == "userpass":
        return [(f"users/{logins.username}", {"password": logins.password.reveal()} | token)]
    if method == "jwt":
        public = _openssl("rsa", "-in", str(logins.id_token_key), "-pubout").decode()
        bound = {"bound_audiences": [AUDIENCE], "bound_claims": {"sub": SUBJECT}}
        return [
            # without default_role a login that names no role is refused
            ("config", {"jwt_validation_pubkeys": [public], "bound_issuer": ISSUER, "default_role": logins.role}),
            (f"role/{logins.role}", {"role_type": "jwt", "user_claim": "sub"} | bound | token),
        ]
    return [(f"certs/{logins.role}", {"certificate": logins.certificate.read_text()} | token)]


def _openssl(*words: str, content: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=content, check=True, capture_output=True).stdout


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
