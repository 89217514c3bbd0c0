"""A layer of very many entries: what it takes of memory does not grow with them.

``SANDCELL_TEST_ENTRIES=1000000`` asks for the million.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell.runtime.layer import tar_write
from sandcell.runtime.layer.compress import compressor

ENTRIES = int(os.environ.get("SANDCELL_TEST_ENTRIES", "10000"))
CHILD = """
import os, resource, sys
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.unpack import unpack

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

for path, target in ((sys.argv[1], sys.argv[2]), (sys.argv[3], sys.argv[4])):
    os.mkdir(target)
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    with open(path, "rb") as file:
        done = unpack(decompress(file), fd, recorded_owners=os.geteuid() != 0)
    print(done.entries, most())
"""


def archive(path: Path, entries: int) -> str:
    pack = compressor("gzip")
    with path.open("wb") as out:
        for folder in range(entries // 1000):
            rows = [tar_write.header(b"d%d/" % folder, b"5", mode=0o755)]
            rows += [tar_write.header(b"d%d/%d" % (folder, n), b"0", mode=0o644, size=0) for n in range(999)]
            out.write(pack.compress(b"".join(rows)))
        out.write(pack.compress(tar_write.END))
        out.write(pack.flush())
    return str(path)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_stays_as_it_is_whatever_number_of_entries_comes(tmp_path: Path) -> None:
    few, many = archive(tmp_path / "few.gz", 1000), archive(tmp_path / "many.gz", ENTRIES)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, few, str(tmp_path / "few"), many, str(tmp_path / "many")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    assert (first[0], second[0]) == (1000, ENTRIES)
    assert second[1] < 150 << 20
    assert second[1] - first[1] < (1 << 20) + 100 * ENTRIES
