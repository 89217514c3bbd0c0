"""``%%container`` in a real IPython shell over a fake engine."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandcell.magics.complain import CellFailed
from sandcell.runtime.errors import ContainerNotFound, ImageNotFound, InvalidOption, NameInUse, StartFailed
from tests.magics.conftest import Notebook
from tests.magics.fake_engine import change


def options(notebook: Notebook):  # type: ignore[no-untyped-def]
    """The options of the newest container."""
    return next(call[3] for call in reversed(notebook.engine.calls) if call[0] == "create")


def test_a_shell_cell(notebook: Notebook) -> None:
    ran = notebook("%%container host\necho hello\necho oops >&2\n")
    assert (ran.out, ran.err, ran.error) == ("hello\n", "oops\n", None)
    assert "exit 0" in ran.text
    assert "+0 ~0 -0 · image unchanged" in ran.text


def test_always_a_new_container_of_the_image(notebook: Notebook) -> None:
    notebook("%%container host --name a\ntrue")
    notebook("%%container host --name b\ntrue")
    assert {one.name for one in notebook.engine.containers(all=True)} == {"a", "b"}


def test_the_cell_stands_in_for_entrypoint_and_cmd(notebook: Notebook) -> None:
    notebook("%%container host\ntrue\n")
    asked = options(notebook)
    assert asked.entrypoint == ()
    assert asked.files["cell"] == b"true\n"
    assert asked.env["PYTHONUNBUFFERED"] == "1"


def test_flags_reach_the_engine(notebook: Notebook) -> None:
    notebook(
        "%%container host --name web -w /srv -u 1000:1000 --memory 256m --cpus 1.5 --pids-limit 50"
        " --network none -v /tmp:/data:ro -e A=1 --env=B=2 --tty\ntrue"
    )
    asked = options(notebook)
    assert (asked.name, asked.workdir, asked.user) == ("web", "/srv", "1000:1000")
    assert (asked.memory, asked.cpus, asked.pids_limit) == (256 << 20, 1.5, 50)
    assert (asked.network, asked.volumes, asked.tty) == ("none", ("/tmp:/data:ro",), True)
    assert (asked.env["A"], asked.env["B"]) == ("1", "2")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_string_reaches_the_environment_as_it_is(notebook: Notebook, value: str) -> None:
    notebook.names["x"] = value
    ran = notebook("%%container host --explain -e K={x}\ntrue")
    assert ran.error is None
    notebook("%container create -e K={x} host")
    assert options(notebook).env["K"] == value


def test_a_value_is_never_a_flag_and_never_splits(notebook: Notebook) -> None:
    notebook.names["x"] = "--rm -d '"
    notebook('%%container host -e K={x} --as r\nprintf %s "$K"\n')
    assert notebook.names["r"].stdout == b"--rm -d '"


def test_names_of_a_function_are_seen(notebook: Notebook) -> None:
    ran = notebook(
        "def f(where):\n"
        "    get_ipython().run_line_magic('container', 'create -e K={where} host')\n"
        "f('inside')"
    )
    assert ran.error is None
    assert options(notebook).env["K"] == "inside"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("host --nmae web", "did you mean --name?"),
        ("host --memry 1g", "did you mean --memory?"),
        ("host --memory lots", "not a size"),
        ("host --cpus none", "not a number"),
        ("host -e K={nope}", "'nope' is not defined"),
        ("host -e K=$nope", "'nope' is not defined"),
        ("host 'open", "never closed"),
        ("host other", "one word too many"),
        ("", "which image?"),
        ("host --expect high", "not an exit status"),
        ("host --as 1x", "not the name of a variable"),
        ("host --send nope", "not defined"),
        ("host -p eighty", "not a port"),
        ("host --network 'a b'", "not a network"),
        ("host --network front --network none", "not another network's name"),
        ("host --network front --network front", "each once"),
        ("host --privileged", "no container gets everything"),
        ("host --restart always", "nothing restarts containers"),
        ("host --env-file /no/such", "No such file"),
        ("host --cpu-shares many", "not a whole number"),
        ("host --strict --with python3", "not a shell"),
        ("host --name", "needs a value"),
        ("host --rm=yes", "takes no value"),
        ("host -v nowhere:x", "mount point"),
    ],
)
def test_bad_lines_are_one_clear_error_and_make_nothing(notebook: Notebook, line: str, told: str) -> None:
    ran = notebook(f"%%container {line}\ntrue")
    assert isinstance(ran.error, InvalidOption)
    shown = ran.out + ran.err
    assert told in shown
    assert "Traceback" not in shown
    assert "Error" not in shown
    assert notebook.engine.containers(all=True) == ()


@pytest.mark.parametrize("flag", ["-i", "-t", "-it", "-ti", "--interactive", "-itd"])
def test_a_cell_has_no_keyboard(notebook: Notebook, flag: str) -> None:
    ran = notebook(f"%%container {flag} host\nsh")
    assert "no keyboard" in ran.out + ran.err
    assert "sandcell run -it host" in ran.out + ran.err
    ran = notebook(f"%%container --in web {flag}\nsh")
    assert "sandcell exec -it web sh" in ran.out + ran.err


def test_unknown_image(notebook: Notebook) -> None:
    ran = notebook("%%container hots\ntrue")
    assert isinstance(ran.error, ImageNotFound)
    assert "did you mean host?" in ran.out


def test_a_container_named_where_an_image_belongs(notebook: Notebook) -> None:
    notebook("%%container host --name web\ntrue")
    ran = notebook("%%container web -e 'A=b c'\ntrue")
    assert isinstance(ran.error, ImageNotFound)
    assert "web: is a container" in ran.out
    assert "write: %%container --in web -e 'A=b c'" in ran.out


def test_an_image_named_where_a_container_belongs(notebook: Notebook) -> None:
    ran = notebook("%%container --in host -e A=b\ntrue")
    assert isinstance(ran.error, ContainerNotFound)
    assert "write: %%container host -e A=b" in ran.out
    ran = notebook("%%container --in=host\ntrue")
    assert ran.out.rstrip().endswith("write: %%container host")


def test_inside_a_running_container(notebook: Notebook) -> None:
    notebook("%container run -d --name web host sleep 100")
    ran = notebook("%%container --in web -e A=1 --as r\necho in $A\n")
    assert ran.out == "in 1\n"
    assert ran.error is None
    assert notebook.names["r"].container.name == "web"
    assert [one.name for one in notebook.engine.containers(all=True)] == ["web"]


def test_creation_flags_with_in_are_errors(notebook: Notebook) -> None:
    notebook("%container run -d --name web host sleep 100")
    for flag in ("--memory 1g", "--name x", "--rm", "-v /a:/b", "-d", "--network none", "--explain"):
        ran = notebook(f"%%container --in web {flag}\ntrue")
        assert isinstance(ran.error, InvalidOption), flag
        assert f"{flag}: is for a new container" in ran.out


def test_an_empty_cell_tells_what_to_write(notebook: Notebook) -> None:
    for cell in ("%%container host", "%%container host\n", "%%container host\n\n  \n"):
        ran = notebook(cell)
        assert "%container run host" in ran.out + ran.err, cell
        assert isinstance(ran.error, InvalidOption)
    ran = notebook("%%image x")
    assert "FROM host" in ran.out + ran.err


def test_status_fails_the_cell_without_a_traceback(notebook: Notebook) -> None:
    ran = notebook("%%container host\necho before\nexit 3\n")
    assert isinstance(ran.error, CellFailed)
    assert ran.error.status == 3
    assert "exit status 3" in ran.out
    assert "Traceback" not in ran.out
    assert "exit 3 ✗" in ran.text


def test_the_last_status_counts_unless_strict(notebook: Notebook) -> None:
    assert notebook("%%container host\nfalse\ntrue\n").error is None
    assert isinstance(notebook("%%container host --strict\nfalse\ntrue\n").error, CellFailed)


def test_expect_passes_on_exactly_that_status(notebook: Notebook) -> None:
    assert notebook("%%container host --expect 3\nexit 3\n").error is None
    ran = notebook("%%container host --expect 3\ntrue\n")
    assert isinstance(ran.error, CellFailed)
    assert "exit status 0, expected 3" in ran.out


def test_no_raise_error(notebook: Notebook) -> None:
    ran = notebook("%%container host --no-raise-error --as r\nexit 3\n")
    assert ran.error is None
    assert notebook.names["r"].status == 3


def test_as_is_set_before_the_failure_is_told(notebook: Notebook) -> None:
    ran = notebook("%%container host --as r\necho out; echo err >&2; exit 3\n")
    assert isinstance(ran.error, CellFailed)
    result = notebook.names["r"]
    assert (result.status, result.stdout, result.stderr) == (3, b"out\n", b"err\n")
    assert result.container.state == "exited"


@pytest.mark.parametrize(
    ("script", "told"), [("nosuchcommand", "command not found"), ("kill -TERM $$", "SIGTERM")]
)
def test_statuses_are_explained(notebook: Notebook, script: str, told: str) -> None:
    assert told in notebook(f"%%container host\n{script}\n").out


def test_a_command_that_does_not_exist(notebook: Notebook) -> None:
    ran = notebook("%%container host --with nosuchprogram\nx\n")
    assert isinstance(ran.error, StartFailed)
    assert ran.error.status == 127
    assert "no command 'nosuchprogram'" in ran.out


def test_changes_are_counted_and_unfold(notebook: Notebook) -> None:
    notebook.engine.changes = (change("A", "a", 5), change("C", "etc/passwd"), change("A", "d", what="dir"))
    ran = notebook("%%container host\ntrue\n")
    assert "+2 ~1 -0 · image unchanged" in ran.text
    assert "<details" in ran.html
    assert "+ /a" in ran.html
    assert "+ /d/" in ran.html


def test_rm_leaves_nothing(notebook: Notebook) -> None:
    ran = notebook("%%container host --rm\ntrue\n")
    assert "removed" in ran.text
    assert notebook.engine.containers(all=True) == ()


def test_background(notebook: Notebook) -> None:
    ran = notebook("%%container host --bg --name web --as w\nsleep 100\n")
    assert ran.error is None
    assert "container web  running" in ran.text
    assert notebook.names["w"].state == "running"
    assert not options(notebook).die_with_client
    ran = notebook("%%container host -d --expect 3\ntrue")
    assert isinstance(ran.error, InvalidOption)


def test_name_in_use_and_replace(notebook: Notebook) -> None:
    notebook("%%container host --name web\ntrue")
    assert isinstance(notebook("%%container host --name web\ntrue").error, NameInUse)
    assert notebook("%%container host --name web --replace\ntrue").error is None


def test_explain_runs_nothing(notebook: Notebook) -> None:
    ran = notebook("%%container host --explain\nrm -rf /\n")
    assert "mount the overlay" in ran.text
    assert notebook.engine.containers(all=True) == ()


def test_help_inside_a_line(notebook: Notebook) -> None:
    assert "--no-raise-error" in notebook("%%container --help\n").out
    assert "--tail" in notebook("%container logs --help").out


def test_python_cells(notebook: Notebook) -> None:
    ran = notebook(
        "%%container host --with python3\nimport sys\nprint(__name__, sys.argv, sys.path[0] == '')\n"
    )
    assert ran.error is None
    assert ran.out == "__main__ ['/run/sandcell/cell'] True\n"


def test_a_python_traceback_shows_the_cells_lines(notebook: Notebook) -> None:
    ran = notebook("%%container host\n#!/usr/bin/env python3\ndef f():\n    return 1/0\nf()\n")
    assert 'File "/run/sandcell/cell", line 3, in f' in ran.err
    assert "return 1/0" in ran.err
    assert "prelude" not in ran.err
    assert isinstance(ran.error, CellFailed)
    assert ran.error.status == 1


def test_a_python_syntax_error_shows_the_line(notebook: Notebook) -> None:
    ran = notebook("%%container host --with python3\nx = 1\nif x\n")
    assert 'File "/run/sandcell/cell", line 2' in ran.err
    assert "if x" in ran.err
    assert "prelude" not in ran.err


def test_values_cross_into_and_out_of_python(notebook: Notebook) -> None:
    notebook.names.update(n=[1, {"a": None}], s="täxt\n", b=b"\x00\xff", f=0.5)
    ran = notebook(
        "%%container host --with python3 --send n --send s=text --send b --send f"
        " --fetch out --fetch raw --fetch word\n"
        "out = [n, text, f]; raw = b + b'!'; word = text * 2\n"
    )
    assert ran.error is None, ran.out
    assert notebook.names["out"] == [[1, {"a": None}], "täxt\n", 0.5]
    assert notebook.names["raw"] == b"\x00\xff!"
    assert notebook.names["word"] == "täxt\ntäxt\n"


def test_values_cross_into_and_out_of_a_shell(notebook: Notebook) -> None:
    notebook.names.update(n=5, s="two words", d={"a": 1}, b=b"\x00\xff")
    ran = notebook(
        "%%container host --send n --send s --send d --send b --fetch t --fetch raw --fetch doc\n"
        'echo "$n:$s"\ncat "$d"\nprintf %s "$s" > $SANDCELL_OUT/t\ncp "$b" /run/sandcell/out/raw || cp "$b" '
        '$SANDCELL_OUT/raw\ncp "$d" $SANDCELL_OUT/doc.json\n'
    )
    assert ran.out.startswith('5:two words\n{"a": 1}')
    assert notebook.names["t"] == "two words"
    assert notebook.names["raw"] == b"\x00\xff"
    assert notebook.names["doc"] == {"a": 1}


def test_values_cross_inside_a_running_container(notebook: Notebook) -> None:
    notebook("%container run -d --name web host sleep 100")
    notebook.names.update(d={"a": 1})
    ran = notebook('%%container --in web --send d --fetch e\ncp "$d" "$SANDCELL_OUT/e.json"\n')
    assert ran.error is None, ran.out + ran.err
    assert notebook.names["e"] == {"a": 1}
    ran = notebook("%%container --in web --with python3 --send d --fetch e\ne = [d]\n")
    assert notebook.names["e"] == [{"a": 1}]


@pytest.mark.slow
def test_fifty_megabytes_cross(notebook: Notebook) -> None:
    notebook.names["b"] = bytes(range(256)) * 200_000
    ran = notebook("%%container host --with python3 --send b --fetch c\nc = b[::-1]\n")
    assert ran.error is None
    assert notebook.names["c"] == notebook.names["b"][::-1]


def test_what_cannot_cross_is_named(notebook: Notebook) -> None:
    notebook.names["o"] = object()
    ran = notebook("%%container host --send o\ntrue")
    assert "neither text, bytes nor JSON" in ran.out
    ran = notebook("%%container host --with python3 --fetch o\no = object()\n")
    assert "neither text, bytes nor JSON" in ran.out
    ran = notebook("%%container host --with python3 --fetch missing\nx = 1\n")
    assert "--fetch missing: the cell gave no such value" in ran.out


def test_a_failed_cell_tells_its_status_not_the_missing_value(notebook: Notebook) -> None:
    ran = notebook("%%container host --with python3 --fetch x --fetch y\nx = 1\nraise SystemExit(4)\n")
    assert isinstance(ran.error, CellFailed)
    assert notebook.names["x"] == 1


def test_capture_takes_the_output(notebook: Notebook) -> None:
    notebook("%%capture got\nget_ipython().run_cell_magic('container', 'host', 'echo hi; echo no >&2')")
    assert (notebook.names["got"].stdout, notebook.names["got"].stderr) == ("hi\n", "no\n")
    assert "image unchanged" in notebook.names["got"].outputs[0].data["text/plain"]


def test_json_on_the_line_is_literal(notebook: Notebook) -> None:
    notebook('%%container host --as r -e \'J={"a": {"b": 1}}\'\nprintf %s "$J"\n')
    assert json.loads(notebook.names["r"].stdout) == {"a": {"b": 1}}
