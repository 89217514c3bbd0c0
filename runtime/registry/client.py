"""Requests to one registry: which address, who we are, again after a failure, and redirects.

What holds: credentials go to the address that was asked and to no other; a redirect never leads from
TLS to plain HTTP; an answer is never decoded by the way, since digests are of the bytes that are sent.
"""

import json
import random
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from sandcell.runtime.errors import LoginNeeded, RegistryRefused, SandcellError, Unreachable
from sandcell.runtime.registry.auth import Authorizer
from sandcell.runtime.registry.bodies import let_go
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.endpoint import Endpoint, endpoints, mirrors, origin
from sandcell.runtime.registry.settings import Settings
from sandcell.runtime.registry.trust import Adapter, Trust, Wide

Body = bytes | Callable[[], IO[bytes]] | None
"""What is sent: bytes, or what opens a file anew for each try."""

FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ImportError)
"""What a connection that breaks raises, at any moment; the last one a Python that was built without TLS."""

TRIES = 5
_TIMEOUT = (10, 60)
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another try may change."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_LONGEST_WAIT = 30.0
_LONGEST_ERROR = 1 << 16


# The user called a host insecure, or it is this machine: said once, in config.toml.
warnings.filterwarnings("ignore", category=urllib3.exceptions.InsecureRequestWarning)


class Client:
    """Speaks to the registry of that name.

    ``wait``: waits so many seconds before another try; ``now``: seconds of any clock. Safe between threads.
    """

    def __init__(
        self,
        registry: str,
        settings: Settings,
        credentials: Credentials,
        *,
        wait: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self._settings = settings
        self._wait = wait
        self._session = requests.Session()
        self._session.mount("http://", Wide())
        # One that answers, so that requests does not look for passwords in ~/.netrc.
        self._session.auth = lambda request: request
        self._session.headers.update({"User-Agent": "sandcell", "Accept-Encoding": "identity"})
        # Cookies of a registry are nobody's business, and would be sent along.
        self._session.cookies.set_policy(_NoCookies())
        self.authorizer = Authorizer(registry, credentials, self._send, now)
        self._found: Endpoint | None = None
        self._finding = threading.Lock()
        self._settling = threading.Lock()
        self._trusted: dict[str, Trust] = {}

    def pause(self, attempt: int, asked: str | None = None) -> None:
        """Wait before another try; ``asked``: what the registry said in Retry-After."""
        self._wait(_pause(attempt, asked))

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def login(self, login: Login) -> Login:
        """Is this login right? ``LoginNeeded`` if not. Gives what to keep: an identity token in its place,
        where the registry's token server hands out such."""
        self.authorizer.use(login)
        self.call("GET", "")
        return self.authorizer.kept or login

    @property
    def endpoint(self) -> Endpoint:
        """Where the registry answers; found out once. ``Unreachable``."""
        with self._finding:
            if self._found is None:
                self._found = self._find(endpoints(self.registry, self._settings))
            return self._found

    @property
    def chunk(self) -> int:
        """Most bytes to send there in one request, 0 for as many as there are."""
        return self._settings.host(self.registry).chunk

    def sources(self) -> tuple[Endpoint | None, ...]:
        """Where to pull from: the mirrors, then ``None`` for the registry itself."""
        return (*mirrors(self.registry, self._settings), None)

    def call(
        self,
        method: str,
        path: str,
        *,
        scopes: tuple[str, ...] = (),
        at: Endpoint | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: Body = None,
        accept: tuple[int, ...] = (),
        stream: bool = False,
        tries: int = TRIES,
    ) -> requests.Response:
        """Ask for ``path`` (below ``/v2/``, or a whole address that the registry gave).

        Repeated with growing pauses while the registry is busy or the connection breaks. Gives an answer
        of 2xx or one of ``accept``; else ``LoginNeeded``, ``RegistryRefused``, ``Unreachable``.
        """
        endpoint = at or self.endpoint
        whole = path.startswith(("http://", "https://"))
        url = path if whole else endpoint.url(path)
        given = dict(headers or {})
        for attempt in range(1, tries + 1):
            try:
                response = self._once(method, url, endpoint, scopes, given, query, body)
                if not stream and (response.ok or response.status_code in accept):
                    let_go(response)
            except FAILURES as error:
                if attempt == tries or _hopeless(error, attempt):
                    raise self._unreachable(error, endpoint) from None
                self._wait(_pause(attempt, None))
                continue
            if response.ok or response.status_code in accept:
                return response
            if response.status_code not in BUSY or attempt == tries:
                raise self._refused(method, response)
            let_go(response)
            self._wait(_pause(attempt, response.headers.get("Retry-After")))
        raise AssertionError("a try either answers or raises")

    def _once(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        scopes: tuple[str, ...],
        headers: dict[str, str],
        query: Mapping[str, str] | None,
        body: Body,
    ) -> requests.Response:
        """One request, with the login it turns out to need, redirects followed."""
        ours = origin(url) == origin(endpoint.base)
        known = self.authorizer.header(endpoint, scopes) if ours else None
        for _ in range(2):
            sent = {**headers, "Authorization": known} if known else headers
            response = self._follow(method, url, endpoint, sent, query, body)
            if response.status_code != 401 or not ours or origin(response.url) != origin(endpoint.base):
                return response
            told = response.headers.get("WWW-Authenticate", "")
            let_go(response)
            known = self.authorizer.answer(endpoint, told, scopes, known)
        sent = {**headers, "Authorization": known} if known else headers
        return self._follow(method, url, endpoint, sent, query, body)

    def _follow(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        headers: dict[str, str],
        query: Mapping[str, str] | None,
        body: Body,
    ) -> requests.Response:
        start = url
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._send(method, url, endpoint, headers=headers, params=query, body=body)
            target = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not target or method not in ("GET", "HEAD"):
                return response
            let_go(response)
            next_url = urljoin(url, target)
            if not next_url.startswith("https://") and not endpoint.loose:
                raise RegistryRefused("ask", self.registry, "it sends us from TLS to a connection without")
            if origin(next_url) != origin(start):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url, query = next_url, None
        raise Unreachable("ask", self.registry, f"more than {_MOST_REDIRECTS} redirects")

    def _send(
        self, method: str, url: str, endpoint: Endpoint, *, body: Body = None, **more: Any
    ) -> requests.Response:
        trust = endpoint.trust if origin(url) == origin(endpoint.base) else self._trust(url)
        self._settle(url, trust)
        data = body() if callable(body) else body
        try:
            if data is not None:
                more["data"] = data
            response = self._session.request(
                method,
                url,
                verify=trust.verify,
                timeout=_TIMEOUT,
                allow_redirects=False,
                stream=True,
                **more,
            )
            if _headless(method, response):
                raise requests.exceptions.ConnectionError("the head of its answer broke off")
            return response
        finally:
            if data is not None and not isinstance(data, bytes):
                data.close()

    def _trust(self, url: str) -> Trust:
        """Another host is not excused from good certificates because the registry is."""
        (endpoint, *_) = endpoints(urlsplit(url).netloc, self._settings)
        return endpoint.trust

    def _settle(self, url: str, trust: Trust) -> None:
        """Connect as ``trust`` says to the host of ``url`` from now on."""
        place = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/"
        with self._settling:
            if place.startswith("https:") and self._trusted.get(place) != trust:
                self._session.mount(place, Adapter(trust))
                self._trusted[place] = trust

    def _find(self, candidates: tuple[Endpoint, ...]) -> Endpoint:
        """The first address with somebody who answers HTTP."""
        failure: Exception | None = None
        for attempt in range(1, 3):
            for endpoint in candidates:
                if len(candidates) == 1:
                    return endpoint
                try:
                    let_go(self._send("GET", endpoint.url(""), endpoint))
                    return endpoint
                except requests.exceptions.SSLError as error:
                    failure = failure or error
                except FAILURES as error:
                    failure = error
            self._wait(_pause(attempt, None))
        assert failure is not None
        raise self._unreachable(failure, candidates[-1]) from None

    def _unreachable(self, error: Exception, endpoint: Endpoint) -> SandcellError:
        hint = "is the name right, and the registry running?"
        if isinstance(error, requests.exceptions.SSLError):
            hint = f'in config.toml, [registries."{self.registry}"] can name a ca, or be insecure'
        return Unreachable("ask", self.registry, f"{endpoint.base}: {_reason(error)}", hint)

    def _refused(self, method: str, response: requests.Response) -> SandcellError:
        said = _words(response)
        denied = response.status_code in (401, 403)
        if not said and denied:
            said = "this is not allowed to us"  # the answer to HEAD has no words
        cause = f"it answered {response.status_code}{f': {said}' if said else ''}"
        if denied:
            what = "log in as somebody who may do this"
            return LoginNeeded("ask", self.registry, cause, f"{what}: sandcell login {self.registry}")
        hint = "it allows no changes" if response.status_code == 405 and method != "GET" else ""
        return RegistryRefused("ask", self.registry, cause, hint)


def _headless(method: str, response: requests.Response) -> bool:
    """Did the connection break before the end of the header, which the standard library does not tell? Then
    nothing says how long the body is (RFC 9112, section 6.3)."""
    headers = response.headers
    if method == "HEAD" or response.status_code in (204, 304) or response.raw.version == 10:
        return False
    told = "Content-Length" in headers or "Transfer-Encoding" in headers
    return not told and "close" not in headers.get("Connection", "").lower()


def _hopeless(error: Exception, attempt: int) -> bool:
    """Will another try end as this one? A bad certificate does; nobody there, twice, does too."""
    if isinstance(error, requests.exceptions.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" in str(error)
    inner = error.args[0] if error.args else None
    return attempt >= 2 and isinstance(getattr(inner, "reason", None), urllib3.exceptions.NewConnectionError)


def _pause(attempt: int, asked: str | None) -> float:
    """Seconds before the next try: as asked (RFC 9110, section 10.2.3), else twice as long each time, never
    in step with others."""
    if asked is not None and re.fullmatch(r"[0-9]{1,9}", asked.strip()):
        return min(float(asked), _LONGEST_WAIT)
    if asked is not None:
        try:
            moment = parsedate_to_datetime(asked).timestamp()
            return min(max(0.0, moment - time.time()), _LONGEST_WAIT)
        except ValueError:
            pass
    return float(min(0.25 * 2**attempt, _LONGEST_WAIT) * random.uniform(0.75, 1.25))


def _reason(error: BaseException) -> str:
    """The innermost words of an error that wraps others."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (one for one in error.args if isinstance(one, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            # What urllib3 makes of an error of the system has another text with each version.
            inner = error.__cause__ if not isinstance(error, OSError) else None
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    return text.rpartition(">: ")[2][:200] or type(error).__name__


def _words(response: requests.Response) -> str:
    """What the registry says is wrong (distribution-spec, "Error Codes"), on one short line."""
    try:
        data = response.raw.read(_LONGEST_ERROR, decode_content=False)
        first = json.loads(data)["errors"][0]
        text = str(first.get("message") or first.get("code") or "")
    except (*FAILURES, ValueError, LookupError, TypeError, AttributeError):
        return ""
    finally:
        response.close()
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:200]


class _NoCookies(requests.cookies.cookielib.DefaultCookiePolicy):  # type: ignore[name-defined, misc, unused-ignore]
    def set_ok(self, *_: object) -> bool:
        return False
