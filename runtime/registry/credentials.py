"""Who we are at a registry: docker's config.json and its credential helpers.

Source: docker-login(1), and the protocol of docker-credential-helpers: JSON on standard streams.
"""

import base64
import binascii
import json
import os
import subprocess
from typing import Any

import msgspec

from sandcell.runtime.errors import HostRefused, InvalidDocument
from sandcell.runtime.oci.reference import DOCKER_HUB

HUB_KEY = "https://index.docker.io/v1/"
"""What docker calls its Hub in config.json and to helpers."""

_TOKEN_USER = "<token>"
_PATIENCE = 30


class Login(msgspec.Struct, frozen=True):
    """A name and a password, or an identity token that stands for both, or a token for the registry."""

    user: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Login({self.user!r}, …)"


class Credentials:
    """``path``: config.json; by default DOCKER_CONFIG's, else ~/.docker/config.json."""

    def __init__(self, path: str | None = None) -> None:
        folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        self.path = path or f"{folder}/config.json"

    def get(self, registry: str) -> Login | None:
        """The login for a registry, ``None`` if there is none; ``HostRefused`` if a helper fails."""
        config = self._read()
        helper = self._helper(config, registry)
        if helper:
            return self._ask(helper, registry)
        auths = config.get("auths")
        if not isinstance(auths, dict):
            return None
        for key, entry in auths.items():
            if _host(key) == registry and isinstance(entry, dict):
                return _login(entry)
        return None

    def put(self, registry: str, login: Login) -> str:
        """Keep a login; tells where: the name of a helper, or the file."""
        config = self._read()
        helper = self._helper(config, registry)
        if helper:
            user = _TOKEN_USER if login.identity_token else login.user
            secret = login.identity_token or login.password
            told = {"ServerURL": _key(registry), "Username": user, "Secret": secret}
            _run(helper, "store", json.dumps(told))
            return f"docker-credential-{helper}"
        entry: dict[str, str] = {}
        if login.identity_token:
            entry["identitytoken"] = login.identity_token
        else:
            entry["auth"] = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
        auths = _without(config.get("auths"), registry)
        self._write({**config, "auths": {**auths, _key(registry): entry}})
        return self.path

    def erase(self, registry: str) -> bool:
        """Forget a login; ``False`` where there was none."""
        config = self._read()
        helper = self._helper(config, registry)
        if helper:
            known = self._ask(helper, registry) is not None
            _run(helper, "erase", _key(registry))
            return known
        auths = _without(config.get("auths"), registry)
        if auths == config.get("auths", {}):
            return False
        self._write({**config, "auths": auths})
        return True

    def _helper(self, config: dict[str, Any], registry: str) -> str:
        special = config.get("credHelpers")
        if isinstance(special, dict):
            for key, name in special.items():
                if _host(key) == registry and isinstance(name, str):
                    return name
        store = config.get("credsStore")
        return store if isinstance(store, str) else ""

    def _ask(self, helper: str, registry: str) -> Login | None:
        told = _run(helper, "get", _key(registry))
        if told is None:
            return None
        user, secret = str(told.get("Username", "")), str(told.get("Secret", ""))
        return Login(identity_token=secret) if user == _TOKEN_USER else Login(user, secret)

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                config = json.loads(file.read())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise HostRefused("read", self.path, str(error.strerror)) from None
        except ValueError as error:
            raise InvalidDocument("read", self.path, f"not JSON: {error}") from None
        if not isinstance(config, dict):
            raise InvalidDocument("read", self.path, "it is no object")
        return config

    def _write(self, config: dict[str, Any]) -> None:
        """Replace the file; nobody else may read it, at no moment."""
        temporary = f"{self.path}.{os.getpid()}.part"
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                json.dump(config, file, indent="\t")
                file.flush()
                os.fsync(fd)
            os.rename(temporary, self.path)
        except OSError as error:
            raise HostRefused("write", self.path, str(error.strerror)) from None


def _login(entry: dict[str, Any]) -> Login | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Login(identity_token=token)
    given = entry.get("registrytoken")
    if isinstance(given, str) and given:
        return Login(registry_token=given)
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth", ""))).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Login(user, password.rstrip("\0")) if colon else None


def _without(auths: object, registry: str) -> dict[str, Any]:
    known = auths if isinstance(auths, dict) else {}
    return {key: entry for key, entry in known.items() if _host(key) != registry}


def _key(registry: str) -> str:
    return HUB_KEY if registry == DOCKER_HUB else registry


def _host(key: str) -> str:
    """The registry that a key of config.json means: old ones are whole addresses."""
    host = key.partition("://")[2] if "://" in key else key
    host = host.partition("/")[0]
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host


def _run(helper: str, verb: str, text: str) -> dict[str, Any] | None:
    """Ask a credential helper; ``None`` where it has nothing for us."""
    program = f"docker-credential-{helper}"
    if "/" in helper:
        raise HostRefused("ask", program, "a helper's name has no slash", "see credHelpers in config.json")
    try:
        done = subprocess.run([program, verb], input=text, capture_output=True, text=True, timeout=_PATIENCE)
    except OSError as error:
        hint = "install it, or take credsStore and credHelpers out of config.json"
        # Where PATH has directories that may not be searched, a missing program is EACCES.
        missing = isinstance(error, (FileNotFoundError, PermissionError))
        cause = "there is no such program" if missing else os.strerror(error.errno or 0)
        raise HostRefused("ask", program, cause, hint) from None
    except subprocess.TimeoutExpired:
        raise HostRefused("ask", program, f"it did not answer within {_PATIENCE} seconds") from None
    if done.returncode:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise HostRefused("ask", program, (done.stderr or done.stdout).strip()[:200] or "it failed")
    if verb != "get":
        return {}
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise HostRefused("ask", program, "its answer is not JSON")
    return told
