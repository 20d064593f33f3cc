"""Vault: where credentials are kept, and the only place that knows what Vault, OpenBao and hvac do behind one's back.

store      Vault: credentials, facts and the run lock, as `reconcile.Records` wants them
listing    every record of a prefix
preflight  whether this Vault can carry a run, before the first effect
session    who we are there: the token, got, renewed and got anew
login      each way to get one
records    where a record is, and its metadata as a Record
wire       connections, redirects and what may be asked again
answers    what an answer says, and which of our errors each failure is
"""

from registrar.pool import Trace
from registrar.vault.login import Login
from registrar.vault.store import Vault

__all__ = ["Login", "Trace", "Vault"]
