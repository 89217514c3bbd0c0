"""The inspector as a widget, for notebooks whose front end shows widgets.

The JavaScript is the server's page without its last module. Browsers load one module for a widget, so
the files are joined when the first one is shown (docs/decisions/0036). A thread tells of changes, also
while a cell runs; what somebody asks is answered by threads as well, so the kernel never waits.
"""

import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from sandcell.magics.inspector.feed import Feed
from sandcell.magics.inspector.questions import about, answer

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine

STATIC = Path(__file__).with_name("static")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)


def bundle(name: str = "widget.js") -> str:
    """One module made of ``name`` and all it imports: each file once, after those that it needs. Names
    at the top of a file are unique among all of them (a test sees to it)."""
    parts: dict[str, str] = {}

    def take(name: str) -> None:
        if name in parts:
            return
        text = (STATIC / name).read_text()
        for needed in _IMPORT.findall(text):
            take(needed)
        inner = name != "widget.js"
        text = _IMPORT.sub("", text)
        parts[name] = re.sub(r"^export ", "", text, flags=re.MULTILINE) if inner else text

    take(name)
    return "\n".join(parts.values())


def styles() -> str:
    """All styles as one text."""
    return "\n".join((STATIC / name).read_text() for name in ("inspector.css", "details.css"))


class Widget(anywidget.AnyWidget):
    """What ``%sandcell`` shows. ``store``: which store it is of; ``key``: how a subshell finds it."""

    key = traitlets.Unicode().tag(sync=True)
    store = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)

    def __init__(self, engine: "Engine", chosen: dict[str, Any] | None = None) -> None:
        self._engine = engine
        self._feed: Feed | None = None
        self._lock = threading.Lock()
        key = secrets.token_hex(8)
        super().__init__(key=key, store=about(engine)["id"], chosen=chosen or {})
        _shown[key] = self
        self.on_msg(lambda _, message, __: self.hear(message))

    def hear(self, message: dict[str, Any]) -> None:
        """A message of the front end. Answers come later, from a thread."""
        threading.Thread(target=self._hear, args=(message,), name="sandcell-answer", daemon=True).start()

    def _hear(self, message: dict[str, Any]) -> None:
        if "hear" in message:
            self._listen(on=bool(message["hear"]))
        elif "watch" in message and self._feed is not None:
            self._feed.watch(self._tell, [str(id) for id in message["watch"]])
        elif "ask" in message:
            given = message.get("given")
            told = answer(self._engine, str(message["ask"]), given if isinstance(given, dict) else {})
            self.send({"answer": message.get("number"), **told})

    def _listen(self, *, on: bool) -> None:
        with self._lock:
            if on and self._feed is None:
                self._feed = Feed(self._engine)
            if self._feed is None:
                return
            self._feed.unsubscribe(self._tell)
            if on:
                self._feed.subscribe(self._tell)
            else:
                self._feed.close()
                self._feed = None

    def _tell(self, message: dict[str, Any]) -> None:
        self.send(message)

    def close(self) -> None:
        """Take it off the page and end its thread."""
        _shown.pop(self.key, None)
        self._listen(on=False)
        super().close()


_shown: dict[str, Widget] = {}


def heard(key: str, text: str) -> None:
    """A message of the front end that came by way of a subshell."""
    import json

    widget = _shown.get(key)
    if widget is not None:
        widget.hear(json.loads(text))


def show(engine: "Engine", chosen: dict[str, Any] | None = None) -> Widget:
    """A new inspector over ``engine``, with ``chosen`` opened. Static files are read once."""
    if not hasattr(Widget, "_esm"):
        Widget._esm = bundle()
        Widget._css = styles()
    return Widget(engine, chosen)


def close_all() -> None:
    """End the threads of all inspectors of this kernel."""
    for widget in list(_shown.values()):
        widget.close()
