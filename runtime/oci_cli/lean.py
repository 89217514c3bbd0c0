"""The import of msgspec without what it loads for types that no record here has: it would take more
time than anything else that a ``create`` does. What nothing uses is empty meanwhile.
"""

import sys
from types import ModuleType

# uuid and decimal it asks for a class each; the rest are parts of its own.
_UNUSED = (
    "decimal", "uuid", "msgspec.inspect", "msgspec._json_schema", "msgspec.msgpack", "msgspec.toml",
    "msgspec.yaml",
)  # fmt: skip


class _Hollow(ModuleType):
    """Any class that is asked for is there, and no value is of it."""

    def __getattr__(self, name: str) -> type:
        return type(name, (), {"unknown": None})  # uuid.SafeUUID.unknown


def load() -> None:
    """Import it; as usual where it wants more of those modules than we have."""
    if "msgspec" in sys.modules:
        return
    # It looks for typing_extensions only to read annotations that no record here has.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    hollow = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update({name: _Hollow(name) for name in hollow})
    try:
        import msgspec  # noqa: F401
    except (ImportError, AttributeError, TypeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "msgspec"]:
            del sys.modules[name]
    finally:
        for name in ("typing_extensions", *hollow):
            sys.modules.pop(name, None)
