"""Writes a file as a comment on the merge request of this pipeline, or anew over the one it wrote before.

A job's own token may not comment, so this takes COMMENT_TOKEN: an access token of the project, with the role of a
Reporter and the scope `api`. It knows its comment by its author and its first line.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

MARK = "<!-- registrar plan -->"
HERE = f"/projects/{os.environ['CI_PROJECT_ID']}/merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes"


def call(method: str, path: str, body: object = None) -> Any:
    """What GitLab's API answers."""
    url = os.environ["CI_API_V4_URL"] + path
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    request.add_unredirected_header("PRIVATE-TOKEN", os.environ["COMMENT_TOKEN"])
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (GitLab's own address)
        return json.load(answer)


def ours() -> str:
    """The address of the comment that we wrote before, or of none yet."""
    me, page = call("GET", "/user")["id"], 1
    while notes := call("GET", f"{HERE}?per_page=100&page={page}"):
        for note in notes:
            if note["author"]["id"] == me and note["body"].startswith(MARK):
                return f"{HERE}/{note['id']}"
        page += 1
    return ""


def main(file: str) -> None:
    """Write the comment."""
    found = ours()
    call("PUT" if found else "POST", found or HERE, {"body": f"{MARK}\n{Path(file).read_text(encoding='utf-8')}"})


if __name__ == "__main__":
    main(sys.argv[1])
