"""Runs a Python cell inside the container; never imported on the host.

Any Python from 3.5 on must be able to read this. The cell is compiled under the name it has in a
new container, so line numbers are the cell's own, and runs as ``__main__``. Values come from the
directory ``in``, wanted ones go to ``out``; ``exchange.json`` lists both.
"""


def run() -> None:
    """Run the file ``cell`` that lies beside this one."""
    import json
    import linecache
    import os
    import sys
    import traceback
    import types

    room = os.path.dirname(os.path.abspath(__file__))
    out = os.environ.get("SANDCELL_OUT", "/run/sandcell/out")
    name = "/run/sandcell/cell"
    with open(room + "/cell", "rb") as file:
        source = file.read()
    wanted = json.loads('{"send": {}, "fetch": []}')
    if os.path.exists(room + "/exchange.json"):
        with open(room + "/exchange.json", "rb") as file:
            wanted = json.loads(file.read().decode("utf-8"))
    text = source.decode("utf-8", "replace")
    # No modification time: linecache then keeps the entry without looking for the file.
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    here = __file__

    def without_us(
        kind: "type[BaseException]", error: BaseException, trace: "types.TracebackType | None"
    ) -> None:
        while trace is not None and trace.tb_frame.f_code.co_filename == here:
            trace = trace.tb_next
        error.__traceback__ = trace
        traceback.print_exception(kind, error, trace)

    sys.excepthook = without_us
    sys.argv[0] = name
    sys.path[0] = ""
    space = sys.modules["__main__"].__dict__
    for key in [key for key in space if not key.startswith("__")]:
        del space[key]
    space["__file__"] = room + "/cell"
    space["__doc__"] = None
    for key, kind in wanted["send"].items():
        with open(room + "/in/" + key, "rb") as file:
            value = file.read()
        space[key] = value if kind == "bytes" else value.decode("utf-8", "surrogatepass")
        if kind == "json":
            space[key] = json.loads(space[key])

    def give() -> None:
        for key in wanted["fetch"]:
            if key not in space:
                continue
            value = space[key]
            kind, data = "json", b""
            if isinstance(value, bytes):
                kind, data = "bytes", value
            elif isinstance(value, str):
                kind, data = "str", value.encode("utf-8", "surrogatepass")
            else:
                try:
                    data = json.dumps(value).encode("ascii")
                except (TypeError, ValueError, RecursionError) as error:
                    kind, data = "error", str(error).encode("utf-8", "replace")
            with open(out + "/" + key + "." + kind, "wb") as file:
                file.write(data)

    try:
        exec(compile(source, name, "exec"), space)  # noqa: S102
    finally:
        give()


if __name__ == "__main__":
    run()
