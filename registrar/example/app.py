"""A small application whose users sign in through DeepLynx Nexus. Read it from top to bottom; nexus.py makes the calls.

    browser                        this server                              Nexus
    GET /login      ─────────────▶ keeps a random state
                    ◀───────────── to the authorize URL, with that state
    signs in        ──────────────────────────────────────────────────────▶ makes a code
                    ◀────────────────────────────────────────────────────── to the redirect URI: code and state
    GET callback    ─────────────▶ is this the state it kept for this browser?
                                   code and client secret ────────────────▶ exchange
                                   keeps the token ◀─────────────────────── token
                    ◀───────────── a cookie with a random id

Where the secrets are:
- the client secret is in the environment of this process, where `registrar exec` puts it, and in no file, page or log;
- the token is in instance/sessions.sqlite3, encrypted. It can do all that the user can, so no browser gets it. Flask's
  session is no place for it either: that is a cookie, signed but not encrypted, and whoever has it reads it;
- the cookie has a random id, which means something to this server alone.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit

import click
from flask import Flask, Response, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as Redirect

from nexus import Nexus, Problem, Settings, Token
from sessions import Store, secret_key

SIGN_IN_S = 600  # a code of Nexus lives no longer
EARLY_S = 60  # Nexus ends a token on the second, and a request takes a while

settings = Settings.of(os.environ)
nexus = Nexus(settings)

# The callback is served where it is registered, so that the two cannot differ.
callback_uri = urlsplit(settings.redirect_uri)
if callback_uri.path in ("", "/", "/login", "/me", "/logout"):
    raise SystemExit(f"The redirect URI needs a path of its own, such as /oauth/callback: {settings.redirect_uri}")

app = Flask(__name__, instance_path=str(Path(__file__).resolve().parent / "instance"))
instance = Path(app.instance_path)
instance.mkdir(mode=0o700, exist_ok=True)
https = callback_uri.scheme == "https"
app.config.update(
    SECRET_KEY=secret_key(instance),
    # Ports do not keep cookies apart, so the name has to. __Host- is set by this host over https, or by nobody.
    SESSION_COOKIE_NAME="__Host-nexus-example" if https else "nexus-example",
    SESSION_COOKIE_SECURE=https,
    SESSION_COOKIE_HTTPONLY=True,  # no script reads it
    SESSION_COOKIE_SAMESITE="Lax",  # no other site can POST with it; with Strict it would be missing at the callback
)
store = Store(instance / "sessions.sqlite3", app.config["SECRET_KEY"])

# ── the flow ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.get("/login")
def login() -> Redirect:
    """Send the browser to Nexus with a state that nobody can guess, and remember which browser it was."""
    state = secrets.token_urlsafe(32)
    session["login"] = store.keep(state, time.time() + SIGN_IN_S)
    return redirect(nexus.authorize_url(state))


@app.get(callback_uri.path)
def callback() -> Redirect:
    """Nexus sends the browser back here, and anybody else may too: the state tells them apart."""
    kept = store.take(session.pop("login", ""))  # gone before it is looked at: a state is good once, whatever follows
    state = request.args.get("state", "")
    if kept is None or not secrets.compare_digest(kept.encode(), state.encode()):
        advice = f"It began elsewhere, or is used up, or took more than ten minutes. Sign in at {callback_uri.netloc}."
        raise Problem("This answer is to no sign-in of this browser.", advice, 400)
    code = request.args.get("code", "")
    if not code:
        advice = f"It says: {request.args.get('error', 'nothing')[:80]}"
        raise Problem("Nexus sent no code.", advice, 400)
    token = nexus.exchange(code, state)
    ends = token.ends - EARLY_S
    if ends < time.time():
        raise Problem("The token has expired already.", "Compare the clock of this server with that of Nexus.")
    sign_out()
    # A new id for every sign-in: one that somebody has known or planted before is worth nothing now.
    session["user"] = store.keep(token.text, ends)
    return redirect(url_for("home"))


@app.post("/logout")
def logout() -> Redirect:
    """By POST, so that no link and no image on somebody's page does it."""
    sign_out()
    return redirect(url_for("home"), 303)


def current() -> Token | None:
    """The token of whoever uses this browser; None when it has expired, too: then they sign in again."""
    text = store.look(session.get("user", ""))
    return Token.read(text) if text else None


def forget() -> Token | None:
    """Delete what is kept for this browser; the token that was."""
    text = store.take(session.get("user", ""))
    session.clear()
    return Token.read(text) if text else None


def sign_out() -> None:
    """Forget the token here, and end it in Nexus, where else it would be good until it expires."""
    token = forget()
    if token and not nexus.end(token):
        app.logger.warning("Nexus did not delete the API key behind a token; the token is good until it expires")


# ── the pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@app.get("/")
def home() -> str:
    """Who is signed in, or a way to."""
    here = f"{callback_uri.scheme}://{callback_uri.netloc}/"
    elsewhere = here if request.host.lower() != callback_uri.netloc.lower() and not https else ""
    return render_template("page.html", token=current(), elsewhere=elsewhere)


@app.get("/me")
def me() -> str | Redirect:
    """A page made of what the API says. Copy this one: a 401 is no error but a user who has to sign in again."""
    token = current()
    if token is None:
        return redirect(url_for("login"))
    status, user = nexus.get("/users/current", token)
    if status == 401:
        forget()
        return redirect(url_for("login"))
    if status != 200 or not isinstance(user, dict):
        raise Problem(f"Nexus answers /users/current with status {status}.")
    return render_template("page.html", token=token, user=user)


@app.errorhandler(Problem)
def problem(error: Problem) -> tuple[str, int]:
    """What a developer needs to know, without what nobody may."""
    app.logger.warning("%s", error.what)
    return render_template("page.html", problem=error), error.status


@app.after_request
def guarded(response: Response) -> Response:
    """No copy of a page in a cache, no code in a Referer, no foreign script, frame or form."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return response


# ── the log, and where it listens ─────────────────────────────────────────────────────────────────────────────────────


def without_query(record: logging.LogRecord) -> bool:
    """The callback's URL has the code, and the development server logs URLs."""
    record.msg, record.args = re.sub(r"\?\S*", "", record.getMessage()), ()
    return True


logging.getLogger("werkzeug").addFilter(without_query)

place = (callback_uri.hostname or "", callback_uri.port or 80)
flask_run = click.get_current_context(silent=True)  # there where it is `flask run` that loads this file
if flask_run and not https and flask_run.params.get("port", place[1]) != place[1]:
    app.logger.warning("Nexus sends users to port %s. Use: flask run --host %s --port %s", place[1], *place)

if __name__ == "__main__":
    if https:
        raise SystemExit(f"{settings.redirect_uri} is served by a web server with TLS, in front of: gunicorn app:app")
    app.run(*place, debug=False)  # whatever FLASK_DEBUG says: its debugger runs what a browser sends
