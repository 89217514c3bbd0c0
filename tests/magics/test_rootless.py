"""The magics for somebody without any rights, in a real IPython shell over real containers."""

import pytest

from tests.plain_user import PlainUser

_DRIVER = """
import io, os, sys
from contextlib import redirect_stdout, redirect_stderr
from IPython.core.interactiveshell import InteractiveShell
os.environ.update(SANDCELL_HOME=sys.argv[1] + "/home", SANDCELL_RUN=sys.argv[1] + "/run")
os.environ["HOME"] = os.environ["IPYTHONDIR"] = sys.argv[1]
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "sandcell")

def cell(text):
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        result = shell.run_cell(text)
    return out.getvalue(), result.error_in_exec

text, error = cell("%%container host:tiny\\necho $$; id -u; echo x > /made; ls /made\\n")
assert error is None, text
assert text.startswith("1\\n0\\n/made\\n"), text
assert "+1 ~0 -0 · image unchanged" in text, text
dockerfile = "FROM host:tiny\\nRUN echo hi > /greeting\\nCMD [\\"cat\\", \\"/greeting\\"]\\n"
text, error = cell("%%image mine\\n" + dockerfile)
assert error is None, text
text, error = cell("%container run mine")
assert text.startswith("hi\\n"), text
text, error = cell("%%container host:tiny --rm --fetch out\\nprintf value > $SANDCELL_OUT/out\\n")
assert error is None, text
assert shell.user_ns["out"] == "value"
text, error = cell("%%container mine -d --name web\\nsleep 1000\\n")
assert error is None, text
text, error = cell("%%container --in web --fetch out\\ncat /greeting; printf inside > $SANDCELL_OUT/out\\n")
assert error is None, text
assert shell.user_ns["out"] == "inside"
text, error = cell("%%container --in web\\nexit 5\\n")
assert error.status == 5, text
text, error = cell("%sandcell doctor")
assert "rung rootless" in text, text
text, error = cell("%container ls")
assert "web" in text, text
text, error = cell("%container commit web saved")
assert error is None, text
text, error = cell("%container rm -f web")
assert error is None, text
shell.run_line_magic("unload_ext", "sandcell")
from sandcell import Engine
with Engine() as engine:
    for container in engine.containers(all=True):
        engine.remove(container, force=True)
print("all well")
"""


@pytest.mark.kernel
@pytest.mark.rootless
@pytest.mark.slow
def test_the_magics_work_without_rights(plain_user: PlainUser) -> None:
    base = plain_user.directory("magics")
    printed = plain_user.run(_DRIVER, str(base), ranges=False, timeout=110)
    assert printed.endswith("all well\n"), printed
