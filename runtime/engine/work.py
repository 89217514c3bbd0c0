"""Work on unpacked trees, done where their ids make sense: here as root, else by a worker in a user
namespace that the spawner makes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandcell.runtime import errors
from sandcell.runtime.linux.idmap import IdMap

if TYPE_CHECKING:
    from sandcell.runtime.container import jobs
    from sandcell.runtime.container.launcher import Launcher


def run_task(launcher: "Callable[[], Launcher]", task: "jobs.Task", descriptors: tuple[int, ...] = ()) -> Any:
    """What the task's function returns; the error it raised is raised here. ``descriptors`` as ``run_apart``.

    Without an id map the function is simply called. ``HostRefused`` when the worker was killed.
    """
    if not task.idmap.user_namespace:
        from sandcell.runtime.store.worker import Here

        return Here().run(task.function, task.payload, *descriptors)
    return run_apart(launcher, task, descriptors)


def run_apart(
    launcher: "Callable[[], Launcher]", task: "jobs.Task", descriptors: tuple[int, ...] = ()
) -> Any:
    """``run_task`` in a process of its own, that ends with the task, even where no id map is needed.
    ``descriptors``: one at most, which the function gets as ``stream``; it stays the caller's."""
    from sandcell.runtime.container import jobs

    control, reply = launcher().submit(task, descriptors)
    control.close()
    if not isinstance(reply, jobs.Done):
        raise errors.HostRefused(
            "work on files", task.function.rpartition(".")[2], "the worker was killed", "try again"
        )
    if reply.error:
        raise _error(reply)
    return reply.result


def _error(reply: "jobs.Done") -> Exception:
    if reply.error == "OSError":
        number, text, path = (
            (*reply.arguments, 0, "", "")[:3] if len(reply.arguments) > 1 else (5, reply.arguments[0], "")
        )
        return OSError(number, text, path or None)
    kind = getattr(errors, reply.error, None)
    if isinstance(kind, type) and issubclass(kind, errors.SandcellError):
        return kind(*reply.arguments)
    return RuntimeError(*reply.arguments)


class Worker:
    """The store's Worker: runs tasks with one id map. The launcher is asked for when one is needed."""

    def __init__(self, launcher: "Callable[[], Launcher]", idmap: IdMap) -> None:
        self._launcher = launcher
        self._idmap = idmap

    def run(self, task: str, payload: dict[str, Any], stream: int | None = None) -> Any:
        """Call the function with the dotted name ``task``."""
        from sandcell.runtime.container import jobs

        descriptors = () if stream is None else (stream,)
        return run_task(self._launcher, jobs.Task(task, payload, self._idmap), descriptors)
