"""One lesson at work: it asks, tries, checks what really happened, and clears up after itself."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sandcell.magics.complain import speak, told
from sandcell.magics.lesson import head, verdict
from sandcell.magics.lesson.predictions import Predictions
from sandcell.magics.lesson.recording import Recording, key_of, load, recorded_card
from sandcell.runtime.engine.progress import Progress
from sandcell.runtime.errors import BuildFailed, Conflict, HostRefused, NotFound, SandcellError, WrongState

if TYPE_CHECKING:
    from sandcell.magics.session import Session
    from sandcell.runtime.engine import Engine

LABEL = "sandcell.lesson"
Observe = Callable[[], str]


class Lesson:
    """A lesson of this notebook, by its number (``"01"``).

    ``engine``: the images and containers of this user. Everything that belongs to the lesson carries the
    label ``sandcell.lesson`` with its number; only that is ever cleared. ``shell``: the IPython shell,
    the one that runs without being told.
    """

    def __init__(self, number: str, shell: Any = None) -> None:
        if shell is None:
            from IPython.core.getipython import get_ipython

            shell = get_ipython()
        self.number = number
        self._shell = shell
        self._session: Session | None = getattr(shell, "_sandcell_session", None)
        with told():
            self.engine: Engine = self._session.engine if self._session is not None else _own_engine()
        self.predictions = Predictions(
            number, Progress(self.engine.places.home), self._show, widgets=self._has_html
        )
        self._recording: Recording | None = None
        self._missing = ""
        self._stood_in = -1
        self._inside = False
        if self._session is not None:
            self._session.instead = self._from_magic
        self._show(head.card(number, self.engine.host).bundle())
        if self._has_html:
            self._reset_button()

    @property
    def labels(self) -> dict[str, str]:
        """What a volume or a network of this lesson is labelled with; images say it in their Dockerfile."""
        return {LABEL: self.number}

    def predict(self, question: str, *options: str, answer: str = "") -> None:
        """Ask for a prediction: buttons, or ``answer`` written in the cell. An empty one skips it."""
        self.predictions.ask(question, options, answer)

    def hint(self, question: str) -> None:
        """Print the next hint to a question."""
        _say(self.predictions.hint(question))

    def unlock(self, question: str) -> None:
        """Let the learner predict again what was locked."""
        self.predictions.unlock(question)
        _say("Unlocked. Predict again.")

    def check(
        self,
        question: str,
        *,
        because: str,
        misread: Mapping[str, str] | None = None,
        needs: tuple[str, ...] = (),
        varies: bool = False,
    ) -> Callable[[Observe], Callable[[], None]]:
        """Decorate a function that looks at the runtime and says what it saw: it is called at once, and
        its answer is compared with the prediction.

        ``because``: why it is so. ``misread``: for a wrong prediction, what is usually behind it.
        ``needs``: the facets of this host without which something else is seen. ``varies``: the answer
        depends on the host, and each is as good. The name then calls the check again, which looks anew.
        """

        def checked(observe: Observe) -> Callable[[], None]:
            def look() -> None:
                try:
                    observed = observe()
                except (SandcellError, NameError) as error:
                    if why := self._refusal(error):
                        self._tell_recorded(question, why, because, misread or {})
                    elif isinstance(error, NotFound | WrongState | NameError):
                        _say(f"Nothing to look at yet: {error}. Run the cells above, and then this one.")
                    else:
                        raise _spoken(error) from None
                else:
                    self._tell(question, observed, because, misread or {}, needs, varies)

            look()
            return look

        return checked

    @contextmanager
    def where_possible(self) -> Iterator[None]:
        """Do what stands below where this host can; elsewhere say why not and show the recording."""
        self._inside = True
        try:
            yield
        except (SandcellError, NameError) as error:
            if not self._stand_in(error):
                raise _spoken(error) from None
        finally:
            self._inside = False

    def refused(self, what: str, why: str) -> HostRefused:
        """The error for something that a cell tried by itself and the host refused; to be raised."""
        return HostRefused("make", what, why or "it failed", "sandcell doctor says what this host allows")

    def clear(self, *, keep: tuple[str, ...] = ()) -> None:
        """Remove what carries this lesson's label: containers, networks, volumes, and images but those
        named in ``keep``. Print what is left. Nothing else is touched."""
        _say(self._cleared(keep))

    def reset(self) -> None:
        """Begin this lesson anew: all that carries its label goes, and so do your predictions."""
        _say(self._begin_anew())

    def _begin_anew(self) -> str:
        told = self._cleared(())
        self.predictions.forget()
        return f"{told}\nYour predictions are forgotten. Run the cells from the top."

    def _cleared(self, keep: tuple[str, ...]) -> str:
        engine, labels = self.engine, self.labels.items()
        for container in engine.containers(all=True):
            if labels <= container.labels.items():
                _gone(partial(engine.remove, container, force=True))
        for network in engine.networks():
            if labels <= network.labels.items():
                _gone(partial(engine.remove_network, network.name))
        for volume in engine.volumes():
            if labels <= volume.labels.items():
                _gone(partial(engine.remove_volume, volume.name))
        kept = {f"{name}:latest" if ":" not in name else name for name in keep}
        for entry in self._images():
            if entry.name not in kept:
                engine.remove_image(entry.name)
        left = [one.name for one in engine.containers(all=True) if labels <= one.labels.items()]
        return f"containers left: {left}\nimages left: {[entry.name for entry in self._images()]}"

    def _images(self) -> list[Any]:
        return [one for one in self.engine.images((f"label={LABEL}={self.number}",)) if one.name]

    @property
    def _has_html(self) -> bool:
        return hasattr(self._shell, "kernel")

    @property
    def recording(self) -> Recording:
        """How the lesson went on a host that allows everything."""
        if self._recording is None:
            self._recording = load(self.number)
        return self._recording

    def _reset_button(self) -> None:
        try:
            from sandcell.magics.lesson.board import reset_button
        except ImportError:
            return  # no widgets are installed; lesson.reset() does the same
        self._show({"text/plain": "lesson.reset() begins this lesson anew", **reset_button(self._begin_anew)})

    def _show(self, bundle: dict[str, Any]) -> None:
        if self._shell is None:
            _say(bundle["text/plain"])
        else:
            self._shell.display_pub.publish(data=bundle, metadata={})

    def _refusal(self, error: Exception) -> str:
        """Why this host cannot do it, a sentence; empty when something else is wrong."""
        host = error.__cause__ if isinstance(error, BuildFailed) else error
        if isinstance(host, HostRefused):
            obstacle = self.engine.host.obstacle
            self._missing = (
                f"no container can run on this host, {obstacle.layer} refuses it (the first cell says more)"
                if obstacle is not None
                else str(host)
            )
        elif not (self._missing and isinstance(error, NotFound | WrongState | NameError)):
            return ""
        return self._missing  # what is not there could not be made

    def _from_magic(self, error: SandcellError) -> bool:
        return not self._inside and self._stand_in(error)

    def _stand_in(self, error: Exception) -> bool:
        """Show the plan and the recording of the cell that runs, if the host is why it failed."""
        why, cell = self._refusal(error), self._cell()
        outputs = self.recording.cells.get(key_of(cell))
        if not why or outputs is None:
            return False
        count = self._shell.execution_count
        if self._stood_in != count:
            self._stood_in = count
            self._plan(cell)
            self._show(recorded_card(self.recording, outputs, why).bundle())
        return True

    def _cell(self) -> str:
        history = getattr(self._shell, "history_manager", None)
        return str(history.input_hist_raw[-1]) if history is not None else ""

    def _plan(self, cell: str) -> None:
        """The plan of an ``%%image`` or ``%%container`` cell, which needs nobody's leave."""
        first, _, body = cell.lstrip().partition("\n")
        magic, _, line = first.partition(" ")
        if magic not in ("%%image", "%%container") or self._session is None:
            return
        self._session.instead = None
        try:
            from sandcell.magics import container, image

            run = image.build_cell if magic == "%%image" else container.run_cell
            run(self._session, f"{line} --explain", body, None)
        except SandcellError:
            pass  # its image could not be built: the recording is what is left
        finally:
            self._session.instead = self._from_magic

    def _tell(
        self,
        question: str,
        observed: str,
        because: str,
        misread: Mapping[str, str],
        needs: tuple[str, ...],
        varies: bool,
    ) -> None:
        answer = self.predictions.of(question).text
        expected = observed if varies else self.recording.observed.get(question, observed)
        lines = [f"Observed: {observed}."]
        if not answer:
            lines.append("You made no prediction. Predict first, or skip.")
        elif answer == observed.lower():
            lines.append(f"You predicted: {answer}. That is right.")
        else:
            lines.append(f"You predicted: {answer}. That is a good mistake to make here.")
            if observed == expected and answer in misread:
                lines.append(misread[answer])
        lines += [f"Why: {because}"] if observed == expected else self._differs(expected, needs)
        right = answer == observed.lower()
        mark = ("right" if right else "not as predicted") if answer else ""
        self._show(verdict.card(lines, mark).bundle())
        self.predictions.lock(question, right)

    def _differs(self, expected: str, needs: tuple[str, ...]) -> list[str]:
        host = self.engine.host
        unreal = [facet for facet in host.facets if facet.name in needs and facet.state != "real"]
        if not unreal:
            return [
                f"Expected was: {expected}. Something has been changed since the experiment. "
                "Run its cells again, and then this one."
            ]
        lines = [f"That is so on this host (rung {host.rung}), not in general:"]
        lines += [f"- {facet.name}: {facet.reason}" for facet in unreal]
        return [*lines, f"Where that is real, it is: {expected} (recorded {self.recording.place})."]

    def _tell_recorded(self, question: str, why: str, because: str, misread: Mapping[str, str]) -> None:
        answer, known = self.predictions.of(question).text, self.recording.observed.get(question, "")
        lines = [f"Not observed here: {why}."]
        lines.append(
            f"RECORDED {self.recording.place}: {known}." if known else "There is no recording of it."
        )
        if not answer:
            lines.append("You made no prediction. Predict first, or skip.")
        elif answer == known:
            lines.append(f"You predicted: {answer}. So it was in the recording.")
        else:
            lines += [f"You predicted: {answer}. The recording says otherwise.", misread.get(answer, "")]
        self._show(verdict.card([*filter(None, lines), f"Why: {because}"], "recorded").bundle())
        self.predictions.lock(question, None)


def _own_engine() -> "Engine":
    from sandcell.runtime import Engine

    return Engine()


def _spoken(error: Exception) -> Exception:
    return speak(error) if isinstance(error, SandcellError) else error


def _gone(remove: Callable[[], None]) -> None:
    """Remove something; a container that removes itself at its end may hold on to it for a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return remove()
        except NotFound:
            return None
        except Conflict as error:
            if time.monotonic() > deadline:
                return _say(f"kept: {error}")
            time.sleep(0.05)


def _say(text: str) -> None:
    print(text)  # noqa: T201 - the output of a cell
