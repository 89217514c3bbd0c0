"""Answering a registry's challenges: basic credentials, and tokens for what is to be done.

Source: distribution, docs/spec/auth/token.md and oauth.md.
"""

import json
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sandcell.runtime.errors import LoginNeeded, SandcellError, Unreachable
from sandcell.runtime.registry.bodies import bounded
from sandcell.runtime.registry.challenge import Challenge, challenges
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.endpoint import Endpoint

if TYPE_CHECKING:
    import requests

_CLIENT = "sandcell"
_SHORTEST = 60
_MARGIN = 5


class Authorizer:
    """Knows what to say to one registry. ``now``: seconds of any clock. ``kept``: an identity token that a
    token server gave in place of a password. Safe between threads."""

    def __init__(
        self,
        registry: str,
        credentials: Credentials,
        send: "Callable[..., requests.Response]",
        now: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._credentials = credentials
        self._send = send
        self._now = now
        self._lock = threading.RLock()
        self._basic: dict[str, str] = {}
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}
        self._login: Login | None = None
        self._asked = self._offline = False
        self.kept: Login | None = None

    def use(self, login: Login) -> None:
        """Answer as ``login`` from now on, whatever is kept elsewhere, and ask for a token to keep."""
        self._login, self._asked, self._offline = login, True, True

    def header(self, endpoint: Endpoint, scopes: Iterable[str]) -> str | None:
        """What to send without being asked: what this endpoint took before."""
        with self._lock:
            token = self._tokens.get((endpoint.base, " ".join(scopes)))
            if token is not None and token[1] > self._now():
                return token[0]
            return self._basic.get(endpoint.base)

    def answer(self, endpoint: Endpoint, told: str, scopes: tuple[str, ...], refused: str | None) -> str:
        """What to send after a 401 whose WWW-Authenticate is ``told``; ``LoginNeeded``.

        ``refused``: the header that was sent, for the same will not be sent again.
        """
        with self._lock:
            known = self.header(endpoint, scopes)
            if known is not None and known != refused:
                return known  # another thread was faster
            self._tokens.pop((endpoint.base, " ".join(scopes)), None)
            for challenge in challenges(told):
                if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                    if self._who is not None and self._who.registry_token:
                        return self._given(self._who.registry_token, refused)
                    return self._token(endpoint, challenge, scopes)
                if challenge.scheme == "basic":
                    header = self._password(endpoint)
                    if header == refused:
                        raise self._denied("it does not take this name and password")
                    self._basic[endpoint.base] = header
                    return header
            raise self._denied("it wants a login of a kind that we do not know")

    @property
    def _who(self) -> Login | None:
        if not self._asked:
            self._login, self._asked = self._credentials.get(self._registry), True
        return self._login

    def _given(self, token: str, refused: str | None) -> str:
        """A token that somebody put into config.json."""
        header = f"Bearer {token}"
        if header == refused:
            raise self._denied("it does not take the token that is kept for it")
        return header

    def _password(self, endpoint: Endpoint) -> str:
        login = self._who
        if login is None or not login.user:
            raise self._denied("it wants a name and a password")
        if endpoint.base.startswith("http:") and not endpoint.loose:
            raise self._denied("it wants a password over a connection that is not safe")
        return _basic(login)

    def _token(self, endpoint: Endpoint, challenge: Challenge, scopes: tuple[str, ...]) -> str:
        realm = challenge.parameters["realm"]
        if not realm.startswith("https://") and not (endpoint.loose and realm.startswith("http://")):
            raise self._denied(f"it sends us for a token to {realm[:100]!r}, which is not safe")
        service = challenge.parameters.get("service", "")
        wanted = scopes or tuple(challenge.parameters.get("scope", "").split())
        login = self._who
        if login is not None and login.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": login.identity_token,
                "service": service,
                "client_id": _CLIENT,
                "scope": " ".join(wanted),
            }
            response = self._send("POST", realm, endpoint, data=form)
        else:
            query: list[tuple[str, str]] = [("service", service)] if service else []
            query += [("scope", scope) for scope in wanted]
            headers = {}
            if login is not None:
                query.append(("account", login.user))
                if self._offline:
                    query += [("offline_token", "true"), ("client_id", _CLIENT)]
                headers["Authorization"] = _basic(login)
            response = self._send("GET", realm, endpoint, params=query, headers=headers)
        token, seconds, refresh = self._read(response)
        if refresh and (self._offline or (login is not None and login.identity_token)):
            # From now on this one counts; the old one may be worth nothing any more.
            self._login = self.kept = Login(identity_token=refresh)
        expires = self._now() + max(seconds, _SHORTEST) - _MARGIN
        self._tokens[endpoint.base, " ".join(scopes)] = (f"Bearer {token}", expires)
        return f"Bearer {token}"

    def _read(self, response: "requests.Response") -> tuple[str, float, str]:
        """A token, its seconds, and perhaps another token to ask for the next one."""
        if response.status_code in (400, 401, 403):
            raise self._denied("the token server does not know this login")
        try:
            told: Any = json.loads(bounded(response, "token"))
            refresh = told.get("refresh_token") or ""
            token = told.get("token") or told.get("access_token")
            seconds = float(told.get("expires_in") or _SHORTEST)
        except (ValueError, AttributeError, TypeError):
            token, seconds, refresh = None, 0.0, ""
        if response.status_code != 200 or not isinstance(token, str) or not token.isprintable():
            cause = f"its token server answered {response.status_code} and no token"
            raise Unreachable("ask", self._registry, cause)
        return token, seconds, refresh if isinstance(refresh, str) else ""

    def _denied(self, cause: str) -> SandcellError:
        return LoginNeeded("ask", self._registry, cause, f"log in: sandcell login {self._registry}")


def _basic(login: Login) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
