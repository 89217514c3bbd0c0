"""The last thing that a container's first process does as ours: it becomes the program."""

import errno
import os
from typing import Never


def execute(arguments: tuple[str, ...], variables: tuple[str, ...]) -> Never:
    """execve(2), the program looked for in the PATH of ``variables``. ``OSError``."""
    # os.execvpe would import a module to read PATH, and would do it from the container's files.
    program, environment = arguments[0], {}
    for entry in variables:
        name, _, value = entry.partition("=")
        environment[name] = value
    if "/" in program:
        os.execve(program, arguments, environment)
    refused = errno.ENOENT
    for directory in environment.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":"):
        try:
            os.execve(f"{directory or '.'}/{program}", arguments, environment)
        except OSError as error:
            # As execvp(3): a program that may not be executed is remembered, the search goes on.
            if error.errno == errno.EACCES:
                refused = errno.EACCES
            elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
    raise OSError(refused, "execve")
