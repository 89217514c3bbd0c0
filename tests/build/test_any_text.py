"""Any text gives a plan, or one clear error with the lines it is about; nothing else is ever raised."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.build.dockerfile import parse
from sandcell.runtime.build.mounting import read_mount
from sandcell.runtime.build.plan import NamedContext, plan
from sandcell.runtime.errors import DockerfileError, ImageNotFound, SandcellError
from sandcell.runtime.oci.config import ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.platform import Platform

CONFIG = ImageConfig(
    architecture="amd64",
    os="linux",
    config=RunConfig(env=("PATH=/bin", "E="), on_build=("RUN trigger", "COPY ${A:-a} b")),
    rootfs=RootFs(),
)
HERE = Platform("amd64", "linux")


def find_config(name: str, /, platform: str = "") -> ImageConfig:
    if name != "host:latest":
        raise ImageNotFound("find image", name, "there is none")
    return CONFIG


_WORDS = """host scratch ctx AS as a b . / /a ../x * ?[ ** a/./b - -- = a=b a= =b $A ${A} ${A:-b} ${A:+b}
${A:?b} ${A#b} ${A##*b} ${A%b} ${A%%b} ${A/b/c} ${A//b/c} ${ $ ' " \\ ` [ ] ["a"] ["a", 'b'] <<E <<-E <<'E'
--from=a --from=0 --from=9 --from=host --from=ctx --chown=a:b --chmod=755 --chmod=u+x --link --link=x 3<<E
--parents --exclude=* --exclude=[ --mount=type=cache,target=/x --mount=from=a,target=b --mount=type=ssh
--mount=type=secret,id=x,env=Y --mount=type=tmpfs,target=/ --mount= --network=none --network=x
--security=insecure --security=sandbox --device=x --platform=linux/arm64 --platform=$TARGETPLATFORM
--platform=/ --checksum=sha256:0 --keep-git-dir --unpack=false --interval=1s --retries=x http://h/x
https://h/r.git#m:d git@h:r 80 80/TCP 80-70 1:2 99999 SIGTERM 64 CMD NONE cmd none"""
_KEYWORDS = """FROM RUN COPY ADD ENV ARG LABEL WORKDIR USER EXPOSE VOLUME CMD ENTRYPOINT SHELL STOPSIGNAL
HEALTHCHECK ONBUILD MAINTAINER from Run ROM"""
_OTHER = ("E", "# check=skip=all", "# check=error=true", "", "# escape=`", "\\", "x \\")
_STARTS = ("", "FROM host\n", "FROM host AS a\nFROM host\n", "ARG A=1\n")
WORDS = st.lists(st.sampled_from(_WORDS.split()), max_size=6)
LINE = st.tuples(st.sampled_from(_KEYWORDS.split()), WORDS).map(lambda row: " ".join((row[0], *row[1])))
ROWS = st.one_of(LINE, st.sampled_from(_OTHER))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(ROWS, max_size=8), st.sampled_from(_STARTS))
def test_a_plan_or_an_error_with_lines(rows: list[str], start: str) -> None:
    text = start + "\n".join(rows)
    contexts = {"ctx": NamedContext(), "im": NamedContext("host")}
    try:
        made = plan(text, find_config=find_config, build_args={"A": "x y"}, platform=HERE, contexts=contexts)
    except DockerfileError as error:
        first, last = error.lines
        assert 1 <= first <= last <= text.count("\n") + 1
        assert error.cause
        return
    assert str(made)
    assert made.ops[0].text.upper().startswith("FROM")


@given(st.text(alphabet="type=cachebindsecrettargetfromid,/\"'$= ", max_size=60))
def test_a_mount_or_an_error(text: str) -> None:
    (statement,) = parse("RUN x").statements
    try:
        mount = read_mount(statement, text, str)
    except SandcellError as error:
        assert error.cause
        return
    assert mount.target or mount.env or mount.type == "ssh"


def test_a_very_long_file_is_planned() -> None:
    text = "FROM host\n" + "".join(f"ENV V{n}=$V{n - 1}x\n" for n in range(100)) + "RUN true\n" * 1000
    assert len(plan(text, find_config=find_config, platform=HERE).ops) == 1103
