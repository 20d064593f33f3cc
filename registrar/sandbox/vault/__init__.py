"""A stand-in of HashiCorp Vault or OpenBao for KV version 2, answering as OpenBao 2.6 in development mode does."""

from registrar.sandbox.vault.server import Vault

__all__ = ["Vault"]
