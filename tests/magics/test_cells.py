"""``%%container`` and ``%%image`` in a real IPython shell over a fake engine."""

from tests.magics.conftest import Notebook


def test_a_shell_cell(notebook: Notebook) -> None:
    ran = notebook("%%container host\necho hello\necho oops >&2\n")
    assert (ran.out, ran.err, ran.error) == ("hello\n", "oops\n", None)
    assert "exit 0" in ran.text
    assert "image unchanged" in ran.text
