"""``sandcell-oci`` for somebody without any rights: what ``spec --rootless`` writes, lives and dies."""

import json

import pytest

from tests.plain_user import PlainUser

pytestmark = [pytest.mark.kernel, pytest.mark.rootless, pytest.mark.slow]

LIFE = """
import json, os, subprocess, sys, time
from pathlib import Path
bundle = Path(sys.argv[1])
def oci(*words, status=0, **more):
    argv = [sys.executable, "-m", "sandcell.runtime.oci_cli", "--root", str(bundle / "state"), *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True, timeout=30, **more)
    assert done.returncode == status, (words, done)
    return done.stdout
for name in ("usr", "etc", "tmp"):
    (bundle / "rootfs" / name).mkdir(parents=True)
for name in ("bin", "lib", "lib64", "sbin"):
    (bundle / "rootfs" / name).symlink_to(f"usr/{name}")
oci("spec", "--rootless", "--bundle", str(bundle))
config = json.loads((bundle / "config.json").read_text())
config["process"]["terminal"] = False
config["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
config["process"]["args"] = ["sh", "-c", "id -u; echo $$; hostname; cat /proc/self/uid_map; sleep 100"]
(bundle / "config.json").write_text(json.dumps(config))
said = bundle / "said"
with said.open("w") as file:
    oci("create", "--bundle", str(bundle), "mine", stdout=file)
    oci("start", "mine")
deadline = time.monotonic() + 20
while said.read_text().count("\\n") < 4 and time.monotonic() < deadline:
    time.sleep(0.01)
told = {"said": said.read_text().split(), "status": json.loads(oci("state", "mine", stdout=-1))["status"]}
told["exec"] = oci("exec", "mine", "id", "-u", stdout=-1).strip()
oci("delete", "--force", "mine")
told["left"] = oci("list", "--quiet", stdout=-1)
print(json.dumps(told))
"""


def test_a_plain_users_container_lives(plain_user: PlainUser) -> None:
    bundle = plain_user.directory("bundle")
    told = json.loads(plain_user.run(LIFE, str(bundle)))
    assert told["said"] == ["0", "1", "sandcell", "0", str(plain_user.uid), "1"]
    assert (told["status"], told["exec"], told["left"]) == ("running", "0", "")
