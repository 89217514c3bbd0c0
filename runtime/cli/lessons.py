"""``sandcell lessons``."""

import click

from sandcell.runtime.cli.door import Door


@click.command("lessons")
@click.argument("folder", default="sandcell-lessons", metavar="[DIR]", type=click.Path(file_okay=False))
@click.pass_obj
def lessons_command(door: Door, folder: str) -> None:
    """Copy the lessons to DIR (sandcell-lessons here), to be opened in JupyterLab, and show how far you are.

    What is there already stays as it is: it is your work.
    """
    from sandcell.runtime.engine.lessons import copy_lessons, standings

    standing = standings(door.engine.places.home)
    for lesson, copied in copy_lessons(folder):
        word, path = "copied" if copied else "kept  ", f"{folder}/{lesson.name}.ipynb"
        print(f"{word}  {path}  {lesson.title}  ({standing[lesson.name]})")
