"""``sandcell lessons``."""

import click


@click.command("lessons")
@click.argument("folder", default="sandcell-lessons", metavar="[DIR]", type=click.Path(file_okay=False))
def lessons_command(folder: str) -> None:
    """Copy the lessons to DIR (sandcell-lessons here), to be opened in JupyterLab.

    What is there already stays as it is: it is your work.
    """
    from sandcell.runtime.engine.lessons import copy_lessons

    for lesson, copied in copy_lessons(folder):
        print(f"{'copied' if copied else 'kept  '}  {folder}/{lesson.name}.ipynb  {lesson.title}")
