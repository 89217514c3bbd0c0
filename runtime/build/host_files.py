"""What a host image holds beside Python: programs, and a small /etc of its own."""

import os
from collections.abc import Callable

from sandcell.runtime.build.elf import Loader
from sandcell.runtime.build.host_tree import HostTree

DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")

CORE = """
    sh [ arch b2sum base32 base64 basename basenc cat chgrp chmod chown chroot cksum comm cp csplit cut
    date dd df dir dirname du echo env expand expr factor false fmt fold groups head hostid id install
    join link ln logname ls md5sum mkdir mkfifo mknod mktemp mv nice nl nohup nproc numfmt od paste
    pathchk pr printenv printf ptx pwd readlink realpath rm rmdir sha1sum sha224sum sha256sum sha384sum
    sha512sum shred shuf sleep sort split stat stty sum sync tac tail tee test timeout touch tr
    true truncate tsort tty uname unexpand uniq unlink users vdir wc who whoami yes
"""
MORE = """
    bash dash grep egrep fgrep sed awk mawk gawk find xargs diff cmp diff3 sdiff tar gzip gunzip zcat
    bzip2 bunzip2 bzcat xz unxz xzcat zstd ps top free kill pgrep pkill pidof pstree pmap uptime vmstat w
    watch sysctl hostname ip ss ping which less more clear reset tput tset getent ldd getopt mount umount
    mountpoint findmnt lsns unshare nsenter setpriv setsid flock prlimit taskset chrt dmesg hexdump column
    rev cal script
"""

TERMINALS = (
    "ansi",
    "dumb",
    "linux",
    "screen",
    "screen-256color",
    "tmux-256color",
    "vt100",
    "xterm",
    "xterm-256color",
)
_TERMINFO = ("/usr/share/terminfo", "/lib/terminfo", "/etc/terminfo", "/usr/lib/terminfo")

# Opened by name at run time, so no DT_NEEDED tells of them: name look-up, and unwinding at a thread's end.
_OPENED_BY_NAME = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLES = (CA_BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")
_SHIPPED = ("/usr/share/ca-certificates/mozilla",)
_ADDED = (
    "/usr/local/share/ca-certificates",
    "/usr/share/pki/ca-trust-source/anchors",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/ca-certificates/trust-source/anchors",
    "/etc/pki/trust/anchors",
)
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"

_PROFILE = """\
# Read by shells that talk to a person.
case $(id -u) in 0) PS1='sandcell:$PWD# ' ;; *) PS1='sandcell:$PWD$ ' ;; esac
"""

_WELCOME = """\
You are inside a container.

Its files come from an image that was made from a few programs of the machine
it runs on: a shell, small tools, and {what}. They are copies. Whatever you
change or delete here is gone when the container is removed, and neither the
image nor the machine notices.

  cat /etc/os-release     this world has a name of its own
  ps ax                   and its own processes, beginning with number 1
  rm -rf /usr             go on, it is yours
"""


def add_layout(tree: HostTree) -> None:
    """The directories every system has; /bin, /lib and their like are links where the host has them so."""
    for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        try:
            target = os.readlink(path)
        except OSError:
            if path in ("/bin", "/sbin", "/lib"):
                tree.directory(path)
            continue
        tree.symlink(path, target)
        tree.directory(os.path.normpath("/" + target))
    for path in (
        "/dev",
        "/home",
        "/mnt",
        "/opt",
        "/proc",
        "/run",
        "/srv",
        "/sys",
        "/usr/local/bin",
        "/usr/local/lib",
        "/var/log",
    ):
        tree.directory(path)
    tree.directory("/root", mode=0o700)
    tree.directory("/home/learner", owner=1000)
    for path in ("/tmp", "/var/tmp"):
        tree.directory(path, mode=0o1777)


def add_programs(tree: HostTree, names: str) -> tuple[str, ...]:
    """Those of the programs ``names``, spaces between, that the host has; gives the files that they are."""
    found: list[str] = []
    for name in names.split():
        for directory in DIRECTORIES:
            path = f"{directory}/{name}"
            if os.path.exists(path):
                program = tree.carry(path)
                if program:
                    found.append(program)
                break
    return tuple(dict.fromkeys(found))


def add_libraries(
    tree: HostTree,
    loader: Loader,
    programs: tuple[str, ...],
    *,
    under: str = "",
    place: Callable[[str], str] = str,
) -> None:
    """Everything ``programs`` load, and the loader itself.

    A library that the image's loader would not find by itself, having no cache there and perhaps
    another place, gets a link in a default directory.
    """
    libraries, _ = loader.closure(programs, under=under)
    libc = next((one.path for one in libraries if one.name == "libc.so.6"), "")
    by_name = [f"{os.path.dirname(libc)}/{name}" for name in _OPENED_BY_NAME] if libc else []
    more, _ = loader.closure(by_name)
    for path in [*programs, *by_name]:
        facts = loader.facts(path)
        if facts is not None and facts.interpreter:
            tree.carry(facts.interpreter)
        if path in by_name:
            tree.carry(path)
    for library in (*libraries, *more):
        directory = os.path.realpath(os.path.dirname(library.path))
        path = library.path if library.by_default else f"{directory}/{os.path.basename(library.path)}"
        if tree.carry(path, place) and libc and not library.by_default and not library.relative:
            tree.symlink(f"{os.path.dirname(libc)}/{library.name}", place(path))


def add_terminals(tree: HostTree) -> None:
    """Descriptions of common terminals, for programs that draw."""
    for name in TERMINALS:
        for directory in _TERMINFO:
            # Some systems name the folder by the letter's number.
            for folder in (name[0], f"{ord(name[0]):x}"):
                path = f"{directory}/{folder}/{name}"
                if os.path.exists(path):
                    tree.carry(path)


def add_locale(tree: HostTree) -> None:
    """The C.UTF-8 locale where the C library has it as files."""
    for top in ("/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"):
        for directory, _, names in os.walk(top):
            for name in sorted(names):
                tree.copy(f"{directory}/{name}", f"{directory}/{name}")


def add_settings(tree: HostTree, *, what: str, shell: str) -> None:
    """The files of /etc, the prompt, and the text ``/welcome``; ``what``: which program the text names."""
    tree.text(
        "/usr/lib/os-release",
        'PRETTY_NAME="Sandcell host image"\nNAME="Sandcell host image"\nID=sandcell-host\nVERSION_ID="1"\n'
        f'ID_LIKE="{_host_id()}"\n',
    )
    tree.symlink("/etc/os-release", "../usr/lib/os-release")
    tree.text(
        "/etc/passwd",
        f"root:x:0:0:root:/root:{shell}\n"
        f"learner:x:1000:1000:learner:/home/learner:{shell}\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    )
    tree.text("/etc/group", "root:x:0:\ntty:x:5:\nusers:x:100:\nlearner:x:1000:\nnogroup:x:65534:\n")
    tree.text(
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    )
    tree.text("/etc/profile", _PROFILE)
    tree.text("/etc/bash.bashrc", _PROFILE)
    tree.text("/root/.bashrc", ". /etc/profile\n")
    tree.text("/home/learner/.bashrc", ". /etc/profile\n", owner=1000)
    tree.text("/welcome", _WELCOME.format(what=what))


def add_certificates(
    tree: HostTree,
    *,
    bundles: tuple[str, ...] = _BUNDLES,
    shipped_in: tuple[str, ...] = _SHIPPED,
    added_in: tuple[str, ...] = _ADDED,
) -> bool:
    """The public certificate authorities of the first of ``bundles`` that is there; False without one.

    What an administrator added stays on the host: certificates that lie in ``added_in``, and where
    ``shipped_in`` has those of the distribution, all others than these.
    """
    shipped = _all_certificates(shipped_in)
    added = _all_certificates(added_in)
    for path in bundles:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                bundle = _certificates(file.read())
        except OSError:
            continue
        kept = [one for one in bundle if (not shipped or one in shipped) and one not in added]
        if kept:
            text = "".join(f"{_BEGIN}\n{_folded(one)}{_END}\n" for one in sorted(set(kept)))
            tree.text(CA_BUNDLE, text)
            return True
    return False


def _certificates(text: str) -> list[str]:
    """The certificates in PEM text, each as its base64 without white space."""
    return ["".join(block.partition(_END)[0].split()) for block in text.split(_BEGIN)[1:]]


def _all_certificates(directories: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for top in directories:
        for directory, _, names in os.walk(top):
            for name in names:
                try:
                    with open(f"{directory}/{name}", "rb") as file:
                        data = file.read()
                except OSError:
                    continue
                text = data.decode("ascii", "replace")
                if _BEGIN in text:
                    found.update(_certificates(text))
                else:
                    from base64 import b64encode

                    found.add(b64encode(data).decode())
    return found


def _folded(text: str) -> str:
    return "".join(text[at : at + 64] + "\n" for at in range(0, len(text), 64))


def _host_id() -> str:
    """What the host's distribution calls itself."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.strip().partition("=")
                if name == "ID":
                    return value.strip("\"'")
    except OSError:
        pass
    return "linux"
