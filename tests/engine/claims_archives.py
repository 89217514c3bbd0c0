"""What must hold of archives on every rung."""

import io
import tarfile

from sandcell.runtime import Engine, Options
from tests.engine.claims import IMAGE, claim


@claim
def a_saved_image_runs_after_it_was_removed_and_loaded(engine: Engine) -> None:
    for form in ("oci-archive", "docker-archive"):
        engine.tag(IMAGE, "archived:1")
        out = io.BytesIO()
        engine.save("archived:1", out, form=form)  # type: ignore[arg-type]
        engine.remove_image("archived:1", force=True)
        out.seek(0)
        (loaded,) = engine.load(out)
        assert loaded.name == "archived:1"
        result = engine.run("archived:1", ("cat", "/file"), Options(remove=True))
        assert result.stdout == b"from-the-image\n", result
        engine.remove_image("archived:1", force=True)


@claim
def an_exported_container_is_imported_as_it_was(engine: Engine) -> None:
    script = "echo new >/data/new; chmod 640 /data/new; rm /file; ln -s new /data/link"
    made = engine.create(IMAGE, ("sh", "-c", script))
    try:
        engine.start(made)
        engine.wait(made, 10)
        out = io.BytesIO()
        engine.export(made, out)
    finally:
        engine.remove(made, force=True)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        new = tar.getmember("data/new")
        assert (new.mode, new.uid, new.size) == (0o640, 0, 4)
        assert "file" not in tar.getnames()
    out.seek(0)
    changes = ("WORKDIR /data", 'CMD ["sh", "-c", "cat link; test ! -e /file"]')
    engine.import_image(out, name="imported:1", changes=changes)
    result = engine.run("imported:1", None, Options(remove=True))
    assert (result.status, result.stdout) == (0, b"new\n"), result
    engine.remove_image("imported:1", force=True)
