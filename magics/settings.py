"""``%config Sandcell``: what cells take for granted where a line does not say otherwise.

Also set in a profile, ``c.Sandcell.memory = "512m"``. A flag on the line wins; the settings of the machine
(config.toml) stand below these.
"""

from typing import Any

from traitlets import Int, TraitError, Unicode, validate
from traitlets.config import Configurable

from sandcell.runtime.errors import SandcellError


class Sandcell(Configurable):
    """Defaults of ``%%container`` and ``%container run``."""

    memory = Unicode("", help="Limit of memory of new containers, as --memory: 256m. Empty: none.").tag(
        config=True
    )
    cpus = Unicode("", help="Processors of new containers, as --cpus: 0.5. Empty: no limit.").tag(config=True)
    pids_limit = Unicode("", help="Processes of new containers, as --pids-limit. Empty: the usual.").tag(
        config=True
    )
    network = Unicode("", help="Network of new containers, as --network. Empty: the usual.").tag(config=True)
    keep = Int(10, min=0, help="How many ended, unnamed containers of this notebook stay.").tag(config=True)

    @validate("memory", "cpus", "pids_limit")
    def _readable(self, proposal: Any) -> str:
        text = str(proposal["value"])
        try:
            self._read(proposal["trait"].name, text)
        except SandcellError as error:
            raise TraitError(f"{error}; {error.hint}" if error.hint else str(error)) from None
        return text

    def limits(self) -> dict[str, Any]:
        """The fields of ``Options`` that are set here."""
        names = ("memory", "cpus", "pids_limit", "network")
        return {name: self._read(name, text) for name in names if (text := getattr(self, name))}

    @staticmethod
    def _read(name: str, text: str) -> Any:
        from sandcell.runtime.container import run_flags
        from sandcell.runtime.container.options import parse_cpus, parse_memory

        if not text or name == "network":
            return text
        if name == "pids_limit":
            return run_flags.whole("--pids-limit", (text,))
        return parse_memory(text) if name == "memory" else parse_cpus(text)
