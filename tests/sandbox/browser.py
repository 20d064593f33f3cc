"""A browser without a screen: it keeps cookies, reads each page strictly, and presses the buttons of its forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx

from tests import web

VOID = {"input", "meta"}
OUTSIDE = ("src", "srcset", "data", "poster", "background", "style")


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class Page(HTMLParser):
    """What a page holds; a page that is not well-formed, accessible and self-contained fails the test that reads it."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status, self.headers, self.url = answer.status_code, answer.headers, str(answer.url)
        self.text, self.title, self.elements, self.forms = "", "", list[str](), list[Form]()
        self.links: dict[str, str] = {}
        self._open: list[str] = []
        self._labels, self._inputs, self._ids = list[str](), list[str](), list[str]()
        self._href, self._button = "", ("", "")
        assert answer.text.startswith("<!doctype html>\n")
        self.feed(answer.text.removeprefix("<!doctype html>\n"))
        self.close()
        assert self._open == []
        assert self.title.endswith("Nexus sandbox")
        assert self.elements.count("h1") == self.elements.count("main") == 1
        assert set(self._inputs) <= set(self._labels)
        assert len(self._ids) == len(set(self._ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs)
        assert tag != "script"
        assert not any(name in OUTSIDE or name.startswith("on") for name in given)
        assert (tag == "html") == (not self._open)
        assert tag != "html" or given == {"lang": "en"}
        self.elements.append(tag)
        self._ids += [given["id"]] if "id" in given else []
        self._look_at(tag, given)
        if tag not in VOID:
            self._open.append(tag)

    def _look_at(self, tag: str, given: dict[str, str]) -> None:
        match tag:
            case "form":
                self.forms.append(Form(given["method"], given["action"]))
            case "input":
                self.forms[-1].fields[given["name"]] = given["value"]
                self._inputs += [] if given["type"] == "hidden" else [given["id"]]
            case "label":
                self._labels.append(given["for"])
            case "a":
                self._href = given["href"]
            case "button":
                assert given["type"] == "submit"
                self._button = given.get("name", ""), given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        if "title" in self._open:
            self.title += data
            return
        self.text += data
        if self._open[-1:] == ["a"]:
            self.links[data] = self._href
        if "button" in self._open:
            self.forms[-1].buttons.setdefault(data, self._button)


class Browser:
    """One person's browser at one Nexus; it follows no redirect by itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = web.client(base_url=url)

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.client.get(path, **arguments)

    def page(self, path: str, **arguments: Any) -> Page:
        return Page(self.get(path, **arguments))

    def post(self, path: str, data: dict[str, str], **headers: str) -> httpx.Response:
        """A form as this site's own page sends it; `headers` say otherwise, an empty one is not sent."""
        sent = {name: value for name, value in {"origin": self.url, **headers}.items() if value}
        return self.client.post(path, data=data, headers=sent)

    def press(self, page: Page, button: str) -> httpx.Response:
        """What the button does that says so."""
        form = next(form for form in page.forms if button in form.buttons)
        name, value = form.buttons[button]
        data = {**form.fields, name: value} if name else form.fields
        target = urljoin(page.url, form.action)
        return self.post(target, data) if form.method == "post" else self.get(target, params=data)

    def follow(self, answer: httpx.Response) -> httpx.Response:
        assert answer.status_code in (302, 303, 307), answer.text
        return self.get(urljoin(str(answer.url), answer.headers["location"]))

    def sign_in(self, user_id: int = 2) -> None:
        assert self.post("/login/signin", {"user": str(user_id)}).status_code == 303

    def close(self) -> None:
        self.client.close()
