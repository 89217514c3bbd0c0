"""RUN evaluated: the words to execute, and what is mounted while they run."""

from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.build.dockerfile import here_mark
from sandcell.runtime.build.instructions import Run
from sandcell.runtime.build.mounting import Mount, read_mount
from sandcell.runtime.build.ops import Execute, Mounted

if TYPE_CHECKING:
    from sandcell.runtime.build.evaluate import Evaluation

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_COVERED = ("/", "/proc", "/sys", "/dev", "/run/sandcell")


def evaluate_run(evaluation: "Evaluation", run: Run) -> None:
    """Add the op of a RUN."""
    argv, files, text = command(run, evaluation.shell())
    environment = evaluation.config.environment
    declared = {name: value for name, value in evaluation.local.items() if name not in environment}
    env = dict(environment)
    env.setdefault("PATH", DEFAULT_PATH)
    env.update(declared)
    told = " ".join(f"{name}={value}" for name, value in declared.items()) + " "
    evaluation.add(
        Execute,
        run.statement,
        text,
        f"RUN {f'|{len(declared)} {told}' if declared else ''}{' '.join(argv)}",
        argv=argv,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        passing_env=evaluation.proxies(),
        working_dir=evaluation.config.working_dir or "/",
        user=evaluation.config.user,
        network=run.network,
        files=files,
        mounts=_mounts(evaluation, run),
        platform=evaluation.platform,
    )
    evaluation.doubt_json(run.statement, run.shell)


def _mounts(evaluation: "Evaluation", run: Run) -> tuple[Mounted, ...]:
    found: list[Mounted] = []
    agents = 0
    for text in run.mounts:
        mount = read_mount(run.statement, text, lambda word: evaluation.expand(word, run.statement))
        if mount.type == "ssh":
            if not mount.target:
                mount = msgspec.structs.replace(mount, target=f"/run/buildkit/ssh_agent.{agents}")
            agents += 1
        if mount.target:
            mount = msgspec.structs.replace(mount, target=evaluation.absolute(mount.target))
        found.append(_placed(evaluation, run, mount))
    places = [one.mount.target for one in found if one.mount.target]
    for place in places:
        if place in _NOT_COVERED or place.startswith(("/proc/", "/sys/", "/run/sandcell/")):
            raise run.statement.fault(f"nothing can be mounted at {place}", "choose another target")
        if places.count(place) > 1:
            raise run.statement.fault(f"two mounts have the target {place}")
    return tuple(found)


def _placed(evaluation: "Evaluation", run: Run, mount: Mount) -> Mounted:
    if mount.type == "bind" or (mount.type == "cache" and mount.stage):
        origin = evaluation.origin(mount.stage, run.statement, "--mount from")
        return Mounted(mount=mount, context=origin.context, from_stage=origin.stage, from_image=origin.image)
    if mount.type == "cache" and mount.source:
        raise run.statement.fault(
            "a cache has a source only with from", "add from=stage, or leave source out"
        )
    return Mounted(mount=mount)


def command(run: Run, shell: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, bytes], str]:
    """The words to execute, files to hand in, and the text to show.

    A lone here-document is the script itself: with ``#!`` it is a program of its own, else the text
    for the shell. Any other is left to the shell, which knows here-documents too.
    """
    documents = run.statement.here_documents
    if not run.shell:
        return run.command, {}, run.statement.line
    words = run.command[0]
    if not documents:
        return (*shell, words), {}, f"RUN {words}"
    first = documents[0]
    told = f"RUN {words} ({first.text.strip().partition(chr(10))[0]}…)"
    if here_mark(words) is None:
        whole = "".join((words, *(f"\n{one.content}{one.name}" for one in documents)))
        return (*shell, whole), {}, told
    if first.text.startswith("#!"):
        content = first.text.encode("utf-8", "surrogateescape")
        return (f"/run/sandcell/{first.name}",), {first.name: content}, told
    return (*shell, first.text), {}, told
