"""Beginning a lesson anew: all that carries its label goes, and nothing else."""

import os
from collections.abc import Iterator

import pytest

from sandcell import Options
from sandcell.magics.lesson import Lesson

pytestmark = [pytest.mark.slow, pytest.mark.kernel]


@pytest.fixture
def lessons() -> Iterator[tuple[Lesson, Lesson]]:
    """Two lessons in one store, each with a container, an image, a volume, a network, an answer."""
    found = Lesson("98"), Lesson("99")
    for lesson in found:
        number, engine = lesson.number, lesson.engine
        engine.build(f'FROM host:tiny\nLABEL sandcell.lesson="{number}"', name=f"reset:{number}")
        engine.start(engine.create(f"reset:{number}", ("sleep", "1000"), Options(name=f"reset-{number}")))
        engine.create_volume(f"reset-{number}", lesson.labels)
        if os.geteuid() == 0:
            engine.create_network(f"reset-{number}", labels=lesson.labels)
        lesson.predict("question", "yes", "no", answer="yes")
    yield found
    for lesson in found:
        lesson.reset()
        lesson.engine.close()


def things(lesson: Lesson) -> list[str]:
    """What the store has of either lesson, and of nobody's."""
    engine = lesson.engine
    names = [one.name for one in engine.containers(all=True)]
    names += [one.name for one in (*engine.images(), *engine.networks(), *engine.volumes())]
    return sorted(name for name in names if name.startswith(("reset", "nobody")))


def test_reset_takes_what_is_its_own(
    lessons: tuple[Lesson, Lesson], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = lessons
    one.engine.build("FROM host:tiny\nENV A=b", name="nobodys:image")
    one.engine.create_volume("nobodys", {})
    before = things(one)
    assert [name for name in before if "98" in name][:2] == ["reset-98", "reset-98"]
    one.reset()
    assert "containers left: []\nimages left: []\n" in capsys.readouterr().out
    assert things(one) == [name for name in before if "98" not in name]
    assert other.engine.container("reset-99").state == "running"
    assert one.predictions.of("question").text == ""
    assert other.predictions.of("question").text == "yes"
    one.reset()  # nothing is left to go
    one.engine.remove_volume("nobodys")
    one.engine.remove_image("nobodys:image")
