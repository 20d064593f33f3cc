"""Trust: the authorities of the system, read when the first server is about to show its certificate.

There are more than a hundred, and reading them takes longer than everything else that fetching a credential does. By
http nobody shows any, and a client may be opened that in the end has nothing to ask. Must never connect.
"""

from __future__ import annotations

import ssl
from typing import Any


class SystemTrust(ssl.SSLContext):
    """A client's context that trusts whom the system trusts; safe to share between threads."""

    _read = False

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        self._authorities()
        return super().wrap_socket(*given, **named)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        self._authorities()
        return super().wrap_bio(*given, **named)

    def _authorities(self) -> None:
        if not self._read:
            self.load_default_certs()  # two threads may both do so, which comes to the same
            self._read = True
