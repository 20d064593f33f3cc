"""Nexus: where applications are registered, and the only place that knows how it differs from what one would expect.

applications  Nexus: who we are and the OAuth applications, as `reconcile.Applications` wants them
session       which version of the API, with which token
answers       what an answer says, and which of our errors each failure is
wire          connections, bounds, and what may be sent again
"""

from registrar.nexus.applications import Nexus, User
from registrar.pool import Trace

__all__ = ["Nexus", "Trace", "User"]
