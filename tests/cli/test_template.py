"""Templates as people write them after ``--format``."""

import pytest

from sandcell.runtime.cli.template import compiled, fields
from sandcell.runtime.errors import InvalidOption

VALUE = {
    "Name": "web",
    "State": {"Status": "exited", "Running": False, "ExitCode": None, "Pid": 7},
    "Mounts": [{"Source": "/a", "RW": True}, {"Source": "/b", "RW": False}],
    "Labels": {"a b": "c"},
    "None": [],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "web"),
        ("{{ .State.Status }}", "exited"),
        ("{{.State.Running}} {{.State.ExitCode}} {{.State.Pid}}", "false <nil> 7"),
        ("{{json .State}}", '{"Status":"exited","Running":false,"ExitCode":null,"Pid":7}'),
        ("{{json .Name}}", '"web"'),
        ("{{range .Mounts}}{{.Source}};{{end}}", "/a;/b;"),
        ("{{range .Mounts}}{{if .RW}}+{{else}}-{{end}}{{end}}", "+-"),
        ("{{range .Labels}}{{.}}{{end}}", "c"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{if .State.Running}}up{{end}}.", "."),
        ('{{index .Labels "a b"}} {{.Name}}', "c web"),
        ("{{index .Mounts 1}}", '{"Source": "/b", "RW": false}'),
        ("{{len .Mounts}}", "2"),
        ("a\\tb\\n{{.Name}}", "a\tb\nweb"),
    ],
)
def test_what_is_written(template: str, text: str) -> None:
    assert compiled(template)(VALUE) == text


@pytest.mark.parametrize(
    "template",
    ["", "plain", "{{", "{{.Name", "{{end}}", "{{range .Mounts}}", "{{if .Name}}x", "{{call .Name}}", "{{}}"],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(template: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        compiled(template)
    assert caught.value.hint


@pytest.mark.parametrize(
    "template", ["{{.Nope}}", "{{.Name.First}}", '{{index .Labels "x"}}', "{{index .Mounts 5}}"]
)
def test_what_is_not_there_is_named(template: str) -> None:
    with pytest.raises(InvalidOption, match="there is no"):
        compiled(template)(VALUE)


def test_columns_of_a_table_are_its_fields() -> None:
    assert fields("table {{.ID}}\\t{{json .Labels}}") == ["ID", "Labels"]
