"""The line magics in a real IPython shell over a fake engine."""

import json
from pathlib import Path

import msgspec
import pytest

from sandcell.magics.complain import CellFailed
from sandcell.magics.grammar import CONTAINER_CELL
from sandcell.runtime.cli.creation import options_of
from sandcell.runtime.cli.run import run_command
from sandcell.runtime.container import run_flags
from sandcell.runtime.container.output import Output
from sandcell.runtime.errors import ContainerNotFound, ImageNotFound, InvalidOption, SandcellError
from tests.magics.conftest import Notebook
from tests.magics.fake_engine import change


@pytest.fixture
def web(notebook: Notebook) -> Notebook:
    """A notebook with a running container ``web``."""
    notebook("%container run -d --name web host sleep 100")
    return notebook


def test_run_keeps_the_commands_own_flags(notebook: Notebook) -> None:
    ran = notebook("%container run --rm host sh -c 'echo \"$0\" --name -e' x\n")
    assert ran.out == "x --name -e\n"
    assert ran.error is None


def test_run_uses_the_images_command(notebook: Notebook) -> None:
    notebook("%container run --explain host")
    asked = [call for call in notebook.engine.calls if call[0] == "create"]
    assert asked == []
    notebook("%container create host")
    assert notebook.engine.calls[-1][2] is None
    assert notebook.engine.calls[-1][3].entrypoint is None


def test_run_fails_with_the_status(notebook: Notebook) -> None:
    ran = notebook("%container run host sh -c 'exit 7'")
    assert isinstance(ran.error, CellFailed)
    assert notebook("%container run --expect 7 host sh -c 'exit 7'").error is None


def test_run_takes_dockers_other_flags(notebook: Notebook) -> None:
    notebook("%container create --entrypoint /bin/echo -h box -l a=b --read-only --stop-signal INT host hi")
    asked = notebook.engine.calls[-1][3]
    assert (asked.entrypoint, asked.hostname, asked.labels) == (("/bin/echo",), "box", {"a": "b"})
    assert (asked.read_only, asked.stop_signal) == (True, "INT")


def test_the_notebook_and_the_command_line_take_the_same_flags(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("# a note\nA=1\nnot-set-anywhere\n")
    words = (
        "--network front --net back --network-alias db --ip 10.5.0.9 -P --init --stop-timeout 0 "
        "--domainname d --annotation a=b --cap-add NET_ADMIN --cap-drop ALL --security-opt no-new-privileges "
        "--sysctl net.core.somaxconn=9 --ulimit nofile=9 --device /dev/null --group-add 7 --ipc host "
        "--pid host --uts host --shm-size 1m --memory-swap -1 -c 5 --cpuset-cpus 0 --cpuset-mems 0 "
        "--oom-score-adj 0 --add-host h:192.0.2.1 --dns 192.0.2.2 --dns-search x --dns-option rotate "
        f"--tmpfs /t --mount type=bind,src=/tmp,dst=/d,ro --mount type=tmpfs,dst=/e -e B=2 --read-only "
        f"--env-file {tmp_path}/words --label-file {tmp_path}/words -l B=2 --name n"
    )
    told = options_of(run_command.make_context("run", ["--rm", *words.split(), "host"]).params)
    notebook(f"%container run --rm {words} host true")
    asked = notebook.engine.calls[-1][3]
    assert told.more_networks == ("back",)
    assert asked == msgspec.structs.replace(told, die_with_client=True, labels=asked.labels)
    assert asked.labels.items() >= told.labels.items() >= {"A": "1", "B": "2"}.items()
    assert {flag.key for flag in CONTAINER_CELL.flags} >= {flag.key for flag in run_flags.FLAGS}


def test_exec(web: Notebook) -> None:
    ran = web("%container exec -e A=1 web sh -c 'echo $A'")
    assert (ran.out, ran.error) == ("1\n", None)
    assert isinstance(web("%container exec -it web sh").error, InvalidOption)


def test_ls_shows_the_running_ones_and_counts_the_others(web: Notebook) -> None:
    web("%%container host --name done\ntrue")
    ran = web("%container ls")
    assert "web" in ran.text
    assert "done " not in ran.text
    assert "1 not running: %container ls -a" in ran.text
    assert "exited (0)" in web("%container ls -a").text


def test_ls_names_those_whose_record_cannot_be_read(web: Notebook) -> None:
    web.engine.spoiled = lambda: ["ab" * 32]
    assert "1 not running: %container ls -a" in web("%container ls").text
    told = web("%container ls -a").text
    assert "abababababab" in told
    assert "corrupted" in told
    assert "%container rm -f abababababab removes it" in told


def test_a_container_stands_still_and_is_looked_at(web: Notebook) -> None:
    assert web("%container pause web").out == "web\n"
    assert "paused" in web("%container ls").text
    assert web("%container unpause web").out == "web\n"
    seen = web("%container top web").text
    assert "PID INSIDE" in seen
    assert "4711" in seen
    assert "sleep 1" in seen
    for line in ("%container stats", "%container stats web"):
        assert "2.50 s" in web(line).text
    assert web("%container cp -L web:/file .").error is None
    assert ("copy", "web:/file", ".", True, False) in web.engine.calls


def test_ports_and_another_name(web: Notebook) -> None:
    assert web("%container port web").out == "80/tcp -> 127.0.0.1:8080\n53/udp -> [::1]:5353\n"
    assert web("%container port web 53/udp").out == "[::1]:5353\n"
    assert "does not publish" in str(web("%container port web 81").error)
    assert web("%container rename web site").out == "site\n"
    assert web.engine.container("site").state == "running"


def test_a_container_lives(web: Notebook) -> None:
    assert web("%container stop -t 3 web").out == "web\n"
    assert ("stop", "web", 3.0) in web.engine.calls
    assert web("%container start web").out == "web\n"
    assert web("%container restart web").error is None
    assert web("%container kill -s USR1 web").out == "web\n"
    assert ("kill", "web", "USR1") in web.engine.calls
    assert web("%container wait web").out == "137\n"
    assert web("%container reset web").out == "web\n"
    assert web("%container rm -f web").out == "web\n"
    assert web.engine.containers(all=True) == ()
    # As docker: with -f, what is not there is told, and no failure.
    ran = web("%container rm -f web")
    assert (ran.error, ran.out, "web" in ran.err) == (None, "", True)
    assert isinstance(web("%container rm web").error, ContainerNotFound)
    ran = web("%image rm -f nope")
    assert (ran.error, "nope" in ran.err) == (None, True)


def test_verbs_go_on_after_an_error(web: Notebook) -> None:
    ran = web("%container stop nope nada web")
    assert isinstance(ran.error, ContainerNotFound)
    assert "nope" in ran.err
    assert "nada" in ran.out
    assert web.engine.container("web").state == "exited"


def test_logs(web: Notebook) -> None:
    web.engine.logged["web"] = [Output("stdout", b"one\ntwo\n", 0.0), Output("stderr", b"err\n", 1.0)]
    ran = web("%container logs web")
    assert (ran.out, ran.err) == ("one\ntwo\n", "err\n")
    assert web("%container logs -n 1 web").out == ""
    stamped = web("%container logs -t web").out.splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == ["one", "two"]
    assert stamped[0].startswith("19")


def test_diff(web: Notebook) -> None:
    web.engine.changes = (change("A", "new", 3), change("D", "etc/old"))
    ran = web("%container diff web")
    assert ran.text == "changes in web: +1 ~0 -1\n+ /new\n- /etc/old"


def test_commit(web: Notebook) -> None:
    ran = web("%container commit -m 'two words' --as new web saved:1")
    assert "image saved:1" in ran.text
    assert "two words" in ran.text
    assert web.names["new"].digest == web.engine.image("saved:1").digest


def test_inspect_is_json(web: Notebook) -> None:
    assert json.loads(web("%container inspect web").out)[0]["Id"] == web.engine.container("web").id
    assert json.loads(web("%image inspect host").out) == [{"Id": "host"}]


def test_images(notebook: Notebook) -> None:
    assert "host:latest" in notebook("%image ls").text
    assert "FROM host" in notebook("%image history host").text
    notebook("%image tag host mine:2")
    assert "mine:2" in notebook("%image ls").text
    ran = notebook("%image rm -f mine:2")
    assert "untagged: mine:2" in ran.out
    assert "deleted: " in ran.out
    assert isinstance(notebook("%image history nope").error, ImageNotFound)


def test_the_doctor(notebook: Notebook) -> None:
    ran = notebook("%sandcell doctor")
    assert "rung rootless" in ran.text
    assert "apt install passt" in ran.text
    assert "apt install passt" in ran.html


def test_sandcell_alone_shows_both_tables(web: Notebook) -> None:
    ran = web("%sandcell")
    assert "host:latest" in ran.shown[0]["data"]["text/plain"]
    assert "web" in ran.shown[1]["data"]["text/plain"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%container stpo web", "did you mean %container stop?"),
        ("%container attach", "no such sub-command in this version"),
        ("%sandcell colour", "no such sub-command in this version"),
        ("%container rm", "write: %container rm NAME"),
        ("%container exec web", "write: %container exec NAME COMMAND"),
        ("%container logs --tail x web", "not a whole number"),
        ("%container ls extra", "one word too many"),
        ("%image tag a", "write: %image tag SOURCE TARGET"),
        ("%container run -p 80:80 --network host host", "no network of its own"),
        ("%container ls --nope", "no such flag"),
    ],
)
def test_mistakes_are_one_sentence_with_a_hint(web: Notebook, line: str, told: str) -> None:
    ran = web(line)
    assert isinstance(ran.error, SandcellError)
    assert told in ran.out
    assert "Traceback" not in ran.out
    assert len(ran.out.splitlines()) <= 3


@pytest.mark.parametrize("magic", ["image", "container", "sandcell"])
def test_help_lists_every_verb(notebook: Notebook, magic: str) -> None:
    from sandcell.magics.grammar import VERBS

    shown = notebook(f"%{magic} --help").out
    assert all(f"  {verb} " in shown for verb in VERBS[magic])


def test_several_magics_in_one_cell_all_show(notebook: Notebook) -> None:
    ran = notebook("%image ls\n%container ls\n%image history host")
    assert len(ran.shown) == 3
