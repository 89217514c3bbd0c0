"""What is left of an overlay when it is not mounted any more."""

from pathlib import Path

from sandcell.runtime.linux.overlay import sweep


def _left(tmp_path: Path) -> tuple[str, str]:
    """The directories as the kernel leaves them after a volatile mount: overlayfs.rst."""
    (tmp_path / "upper").mkdir()
    volatile = tmp_path / "work" / "work" / "incompat" / "volatile"
    volatile.mkdir(parents=True)
    (volatile / "dirty").touch()
    return str(tmp_path / "upper"), str(tmp_path / "work")


def test_an_overlay_that_nobody_wrote_to_goes_completely_and_may_be_swept_again(tmp_path: Path) -> None:
    upper, work = _left(tmp_path)
    sweep(upper, work)
    assert list(tmp_path.iterdir()) == []
    sweep(upper, work)


def test_what_somebody_wrote_stays(tmp_path: Path) -> None:
    upper, work = _left(tmp_path)
    (tmp_path / "upper" / "kept").touch()
    (tmp_path / "work" / "work" / "#1").touch()
    sweep(upper, work)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "upper",
        "upper/kept",
        "work",
        "work/work",
        "work/work/#1",
    ]
