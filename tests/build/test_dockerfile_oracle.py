"""Our statements against BuildKit's own parser, which the ``dockerfile`` package carries."""

import dockerfile as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.build.dockerfile import KEYWORDS, Dockerfile, Statement, parse
from sandcell.runtime.errors import DockerfileError


def ours(statement: Statement) -> tuple:
    inner = statement.trigger or statement
    return (
        statement.keyword,
        statement.trigger.keyword if statement.trigger else None,
        statement.lines,
        statement.flags,
        inner.words,
        inner.is_json,
        tuple((here.name, here.descriptor, here.content) for here in statement.here_documents),
    )


def theirs(command: oracle.Command) -> tuple:
    return (
        (command.cmd or "").upper(),
        command.sub_cmd.upper() if command.sub_cmd else None,
        (command.start_line, command.end_line),
        command.flags,
        command.value,
        command.json,
        tuple((here.name, here.file_descriptor, here.content) for here in command.heredocs),
    )


def expected(text: str) -> list[tuple] | None:
    """What BuildKit makes of it; ``None`` where it refuses or meets a word that is no instruction."""
    try:
        commands = [theirs(command) for command in oracle.parse_string(text)]
    except oracle.GoParseError:
        return None
    known = all(row[0] in KEYWORDS and (row[1] or "RUN") in KEYWORDS for row in commands)
    return commands if known else None


def check(text: str) -> None:
    wanted = expected(text)
    try:
        parsed: Dockerfile | None = parse(text)
    except DockerfileError as error:
        parsed = None
        first, last = error.lines
        assert 1 <= first <= last, error.lines
        assert error.source == "\n".join(
            row.rstrip("\r") for row in text.removeprefix("\ufeff").split("\n")[first - 1 : last]
        )
    if any(row[1] == "ONBUILD" for row in wanted or ()):
        return  # refused one stage later; the oracle does not show what is inside.
    if any(not flag.isascii() for row in wanted or () for flag in row[3]):
        return  # BuildKit reads flags byte by byte and garbles other letters; we do not.
    assert (parsed and [ours(one) for one in parsed.statements]) == wanted


REAL = {
    "plain": 'FROM alpine:3.20\nRUN apk add --no-cache curl\nCMD ["curl", "--version"]\n',
    "python app": """# syntax=docker/dockerfile:1
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS base

# comments and empty lines
ENV PYTHONUNBUFFERED=1 \\
    PATH="/opt/venv/bin:$PATH"

WORKDIR /app
COPY --chown=1000:1000 requirements.txt .
RUN --mount=type=cache,target=/root/.cache pip install -r requirements.txt && \\
    # a comment in the middle
    rm -rf /tmp/*

COPY . .
EXPOSE 8000/tcp 8001
HEALTHCHECK --interval=30s --timeout=3s CMD curl -f http://localhost/ || exit 1
ENTRYPOINT ["python", "-m", "app"]
""",
    "stages": """FROM golang AS build
COPY go.* ./
RUN go build -o /out/app ./...
FROM scratch
COPY --from=build /out/app /app
LABEL org.opencontainers.image.title="An app" version=1 'single'=x
USER 65534:65534
STOPSIGNAL SIGINT
VOLUME ["/data"]
VOLUME /a /b
ENTRYPOINT ["/app"]
""",
    "here documents": """FROM debian
RUN <<EOF
set -e
echo one
EOF
COPY <<'CONF' <<"other" /etc/
a = $b
CONF
text
other
RUN <<-END cat > /x && cat <<TWO
\t\thello
\tEND
second
TWO
RUN 3<<FILE python3
x
FILE
""",
    "windows": "# escape=`\nFROM windows\nRUN dir `\n  c:\\\nCOPY a b\\\n",
    "crlf": "FROM a\r\nRUN b \\\r\n  c\r\n\r\nENV a=1\r\n",
    "bom": "\ufeffFROM a\n",
    "lower case": "from a\nrun b\nonbuild copy . /x\n",
    "old env": "FROM a\nENV name some  value with spaces\nLABEL old style\n",
    "no newline at the end": "FROM a\nRUN b",
    "continued to the end": "FROM a\nRUN b \\",
    "escaped continuation": "FROM a\nRUN b \\\\\nRUN c\n",
    "json that is not": "FROM a\nCMD ['a', 'b']\nCMD [\"a\",]\nCMD [ ]\nCMD [\"a\"] x\nRUN [\n",
    "health": 'FROM a\nHEALTHCHECK NONE\nHEALTHCHECK cmd ["a", "b"]\nHEALTHCHECK CMD\n',
    "not json strings": "FROM a\nCMD [1]\n",
    "quotes": 'FROM a\nENV a="b c" d=\'e "f\' g=h\\ i j="\\"" k="" l=\nARG x="y z" q\n',
    "flags": "FROM --platform=linux/amd64 a\nCOPY --from='b c' --chmod=755 -- x y\nRUN -- a\nRUN --x\n",
    "shell arithmetic": "FROM a\nRUN echo $((1<<2)) && cat <<< word\n",
    "unterminated": "FROM a\nRUN <<EOF\nx\n",
    "quoted here mark": "FROM a\nRUN echo '<<EOF' \"<<EOF\" \\<<EOF\n",
    "directives": "#syntax=x\n# ESCAPE = `\n# other=1\n# escape=\\\nFROM a\nRUN a `\nb\n",
    "directive twice": "# escape=`\n# escape=`\nFROM a\n",
    "bad escape": "# escape=x\nFROM a\n",
    "env without value": "FROM a\nENV a\n",
    "env without equals": "FROM a\nENV a=1 b\n",
    "nothing": "",
    "comments only": "# a\n\n# b\n",
    "empty words": "FROM a\nRUN\nENV\nONBUILD\nCOPY\nLABEL\n",
    "unicode": "FROM a\nLABEL gruß='schöne Welt' \u00a0 b=c\u2003d\n",
    "shell words": 'FROM a\nRUN cat <<EOF ${x:-a b} "$y"\nz\nEOF\n',
}


@pytest.mark.parametrize("name", REAL)
def test_real_looking_files_read_as_buildkit_reads_them(name: str) -> None:
    check(REAL[name])


PIECES = st.sampled_from(
    [
        *sorted(KEYWORDS),
        *"abcdefg",
        " ",
        "  ",
        "\t",
        "\n",
        "\n",
        "\n",
        "\\\n",
        "\\ \n",
        "\\\\\n",
        "`\n",
        "\r\n",
        "#",
        "# escape=`\n",
        "# syntax=x\n",
        "=",
        "a=b",
        "'",
        '"',
        "\\",
        "`",
        "$a",
        "${a}",
        "--",
        "--flag=x",
        "[",
        "]",
        '["a", "b"]',
        ",",
        "<<EOF",
        "<<-EOF",
        "<<'EOF'",
        "3<<E",
        "\nEOF\n",
        "\n\tEOF\n",
        "\nE\n",
        "é",
        "\x1c",
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_any_text_reads_as_buildkit_reads_it(text: str) -> None:
    check("FROM a\n" + text)


STATEMENTS = st.tuples(
    st.sampled_from(sorted(KEYWORDS)), st.lists(PIECES.filter(lambda p: p not in KEYWORDS), max_size=8)
).map(lambda row: f"{row[0]} {''.join(row[1])}\n")


@settings(max_examples=400, deadline=None)
@given(st.lists(STATEMENTS, max_size=4).map("".join))
def test_statements_read_as_buildkit_reads_them(text: str) -> None:
    check(text)
