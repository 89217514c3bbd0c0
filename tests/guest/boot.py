"""Starting the guest and hearing what it reports. KVM is never used: emulation works everywhere."""

import importlib.metadata
import importlib.util
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.guest.image import Disk, Unavailable, cache, ensure, image

CHECKOUT = Path(__file__).resolve().parents[2]
# What the runtime and what is run in the guest import.
DISTRIBUTIONS = ("msgspec", "isal", "backports.zstd", "click", "platformdirs", "pytest", "jeepney")
_FOLDERS = (
    "sandcell",
    "runtime",
    "tests/guest",
    "tests/engine",
    "tests/network",
    "tests/oci_cli",
    "tests/linux",
)
_DATA = 1 << 30
SECONDS = 1500  # some three minutes on a calm machine; it shares its processors with all other tests
NONE = 77

_QEMU = (
    *("nice", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max"),
    *(
        "-smp",
        "2",
        "-m",
        "1536",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-device",
        "virtio-rng-pci",
    ),
)
_KERNEL_LINE = (
    "console=ttyS0 root=/dev/nvme0n1 rootfstype=ext4 rw init=/usr/sbin/begin quiet loglevel=3 panic=-1 "
    "mitigations=off nokaslr hugepages=4 random.trust_cpu=on systemd.show_status=0 apparmor=1 "
    "systemd.mask=systemd-timesyncd.service systemd.mask=apt-daily.timer softlockup_panic=1"
)


def second_disk(folder: Path, settings: Iterable[str]) -> Path:
    """A disk image with the checkout's files, the Python packages they need, and what to check."""
    tree = folder / "second"
    tree.mkdir()
    (tree / "settings").write_text(" ".join(settings))
    for name in _FOLDERS:
        shutil.copytree(
            CHECKOUT / name,
            tree / "checkout" / name,
            symlinks=True,
            # Compiled files are written under such names first, by the tests that run meanwhile.
            ignore=shutil.ignore_patterns("test_*", ".*", "*.pyc.*"),
        )
    for path in CHECKOUT.glob("tests/*.py"):
        shutil.copy2(path, tree / "checkout/tests")
    site = tree / "site"
    for path, name in _packages():
        target = site / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    target = folder / "second.img"
    image(tree, target, spare=4 << 20)
    shutil.rmtree(tree)
    return target


def _packages() -> list[tuple[Path, str]]:
    """Every file of the distributions and of what they require."""
    waiting, seen, found = list(DISTRIBUTIONS), set[str](), []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # one for other versions of Python
        needs = [text for text in distribution.requires or () if "extra ==" not in text]
        waiting += [match[0] for text in needs if (match := re.match(r"[A-Za-z0-9._-]+", text))]
        for file in distribution.files or ():
            path = Path(str(file.locate()))
            if not path.is_file() or str(file).startswith(".."):
                continue
            found.append((path, str(file)))
            # What the installer compiled later is in no list; compiling it anew takes long there.
            compiled = importlib.util.cache_from_source(path) if path.suffix == ".py" else ""
            if compiled and Path(compiled).is_file():
                found.append((Path(compiled), importlib.util.cache_from_source(str(file))))
    return found


def data_disk(folder: Path) -> Path:
    """An empty file system for stores."""
    target = folder / "data.img"
    command = ("mke2fs", "-q", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1")
    subprocess.run([*command, str(target), f"{_DATA >> 20}M"], check=True, capture_output=True)
    return target


class Guest:
    """A running guest. ``report`` is what it wrote to its second serial line."""

    def __init__(self, disk: Disk, folder: Path, settings: Iterable[str]) -> None:
        self.folder = folder
        self.console = folder / "console"
        self.report = folder / "report"
        self.report.write_text("")
        drives = []
        for number, (path, snapshot) in enumerate(
            ((disk.root, "on"), (second_disk(folder, settings), "on"), (data_disk(folder), "off")), 1
        ):
            # What is written to a snapshot is forgotten, so the file may be used by several.
            drives += [
                "-drive",
                f"if=none,id=d{number},file={path},format=raw,snapshot={snapshot},cache=unsafe",
            ]
            drives += ["-device", f"nvme-ns,drive=d{number},bus=nvme,nsid={number}"]
        argv = [
            *_QEMU,
            *("-kernel", str(disk.kernel), "-append", _KERNEL_LINE),
            *("-device", "nvme,id=nvme,serial=guest", *drives),
            *("-serial", f"file:{self.console}", "-serial", f"file:{self.report}"),
        ]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def wait(self, seconds: float) -> str:
        """Its report, when it has switched itself off; what there is of it after ``seconds``."""
        pidfd = os.pidfd_open(self.process.pid)
        deadline = time.monotonic() + seconds
        ended, _, _ = select.select([pidfd], [], [], max(0, deadline - time.monotonic()))
        os.close(pidfd)
        if not ended:
            self.process.kill()
        _, said = self.process.communicate()
        return (
            self.report.read_text(errors="replace")
            + ("" if ended else f"\nnot ended in {seconds:g} s")
            + said
        )

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def main(folder: str, settings: str) -> None:
    """Make the disk if there is none, start the guest, and wait for its end. Exit status 77, with the
    reason on standard error, where there can be none."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the guest ends with us
    try:
        disk = ensure(cache())
    except Unavailable as why:
        print(why, file=sys.stderr)
        sys.exit(NONE)
    # An emulated processor sometimes waits for the other one for ever.
    for _ in range(2):
        guest = Guest(disk, Path(folder), settings.split(","))
        try:
            said = guest.wait(SECONDS)
        finally:
            guest.close()
        if "soft lockup" not in guest.console.read_text(errors="replace"):
            break
    print(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
