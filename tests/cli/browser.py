"""A browser for whoever starts one by the variable BROWSER: it follows redirects, keeps cookies, and signs in.

`python browser.py HOW URL`; HOW is what its user does at the end of the way:

    signs-in   goes all the way
    refuses    comes back as a server would send somebody who said no
    strays     first comes back with somebody else's state
    leaves     opens nothing
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx


class Forms(HTMLParser):
    """The forms of a page: where each goes, and what its fields and first button say."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((given.get("method", "get").lower(), given.get("action", ""), {}))
        elif tag in ("input", "button") and self.found and given.get("name"):
            self.found[-1][2].setdefault(given["name"], given.get("value", ""))


def visit(client: httpx.Client, url: str, *, short_of: str = "") -> str:
    """The address at the end of the way, with a sign-in as the first user offered where one is asked for.

    One that begins with `short_of` is not gone to.
    """
    response = client.get(url)
    for _ in range(10):
        if response.is_redirect:
            target = urljoin(str(response.url), response.headers["location"])
            if short_of and target.startswith(short_of):
                return target
            response = client.get(target)
        elif "/login/signin" in str(response.url) and response.status_code == 200:
            method, action, fields = next(form for form in Forms(response.text).found if form[0] == "post")
            assert method == "post"
            page = response.url
            target = urljoin(str(page), action) if action else str(page)
            headers = {"origin": f"{page.scheme}://{page.netloc.decode()}", "referer": str(page)}
            response = client.post(target, data=fields, headers=headers)
        else:
            assert not short_of, f"Nexus does not send back: {response.status_code} {response.text[:2000]}"
            return str(response.url)
    raise AssertionError(f"no end of redirects at {response.url}")


def main(how: str, url: str) -> None:
    with httpx.Client(trust_env=False, timeout=10) as client:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        back = query["redirect_uri"]
        if how == "refuses":
            client.get(f"{back}?{urlencode({'error': 'access_denied', 'state': query['state']})}")
        elif how == "strays":
            client.get(f"{back}?{urlencode({'code': 'c', 'state': 'of-somebody-else'})}")
            visit(client, url)
        elif how == "signs-in":
            visit(client, url)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
