"""``%container prune`` over the fake engine; that of images is in test_looks."""

from tests.magics.conftest import Notebook


def test_containers_that_do_not_run_go_with_f_only(notebook: Notebook) -> None:
    notebook("%container run -d --name web host sleep 100")
    notebook("%container create --name idle host sh")
    assert "idle" in notebook("%container prune").text
    assert "idle" in notebook("%container ls -a").text
    assert notebook("%container prune -f").out == "idle\n"
    left = notebook("%container ls -a").text
    assert "idle" not in left
    assert "web" in left
