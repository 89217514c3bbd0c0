"""Making containers and starting processes in them: where images, directories and the host meet."""

import os
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import msgspec

from sandcell.runtime.container import jobs, processes, running, state
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.compose import SHARED, Setting, compose
from sandcell.runtime.container.launcher import Launcher
from sandcell.runtime.container.options import Options, parse_tmpfs, parse_volume
from sandcell.runtime.container.plan import CgroupMount, Rootfs, plan
from sandcell.runtime.container.ports import Publish
from sandcell.runtime.container.sealed import seal
from sandcell.runtime.container.users import resolve
from sandcell.runtime.engine import filters, given, lower, names, record, sharing, userns
from sandcell.runtime.engine.etc_files import etc_files
from sandcell.runtime.engine.places import Places, make_skeleton
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.refusals import told
from sandcell.runtime.engine.rootfiles import read_file
from sandcell.runtime.engine.values import ContainerPlan
from sandcell.runtime.errors import ContainerNotFound, HostRefused, StartFailed, WrongState
from sandcell.runtime.linux import cgroups, idmap, trees
from sandcell.runtime.linux.host_model import Facet, Host
from sandcell.runtime.linux.process import Identity, identify
from sandcell.runtime.oci.config import ImageConfig, RunConfig
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.spec import Spec, User

if TYPE_CHECKING:
    from sandcell.runtime.oci.image import Image

CGROUP_PARENT = "sandcell"


class Network(msgspec.Struct, frozen=True):
    """How a container is wired, for one start. ``joins``: the namespace of another, a path of /proc."""

    wire: s.Connect | s.Slirp | None = None
    joins: str = ""
    ports: tuple[Publish, ...] = ()
    target: str = "127.0.0.1"
    target6: str = ""
    afterwards: tuple[jobs.Call, ...] = ()
    late: tuple[jobs.Call, ...] = ()


_UNWIRED = Network()


class Nursery(msgspec.Struct, frozen=True):
    """What every birth needs. ``layers`` are directories, lowest first, asked for by image digest."""

    places: Places
    host: Host
    launcher: Launcher
    idmap: idmap.IdMap

    @property
    def cgroups(self) -> bool:
        """True where this host lets us make control groups."""
        return cgroups.layout().writable


@lru_cache(64)
def _of_image(lowers: tuple[str, ...], path: str) -> str:
    return read_file(lowers, path)  # which are named by what is in them, and never change


def setting(
    nursery: Nursery, id: str, options: Options, config: RunConfig, lowers: tuple[str, ...], upper: str = ""
) -> Setting:
    """The facts for ``compose``, the user's name resolved by the image's own files."""
    read = partial(read_file, (*lowers, upper)) if upper else partial(_of_image, lowers)
    user, home = resolve(
        options.user or config.user,
        read("etc/passwd"),
        read("etc/group"),
        options.group_add,
    )
    ids = userns.chosen(nursery.places, nursery.host, id, options) or nursery.idmap
    if options.group_add and ids.single:
        cause = "this host gives you a single id, so there are no other groups"
        raise HostRefused("use", f"--group-add {options.group_add[0]}", cause, "see /etc/subgid")
    if ids.single:
        # The one id that we have is given to whoever the process shall be.
        ids = ids.with_identity(user.uid, user.gid)
        user = User(uid=user.uid, gid=user.gid)
    elif not ids.holds(user.uid, user.gid):
        raise HostRefused(
            "use",
            f"user {user.uid}:{user.gid}",
            "this host gives you fewer ids",
            "see /etc/subuid and `sandcell doctor`",
        )
    base = nursery.places.container(id)
    uname = os.uname()
    kernel = _version(uname.release)
    volumes = [parse_volume(text) for text in options.volumes]
    taken = {volume.destination for volume in volumes} | {parse_tmpfs(text)[0] for text in options.tmpfs}
    unnamed = sorted(place for place in config.volumes if place not in taken and _may_be_volume(place))
    if not nursery.host.mounting:
        unnamed = []  # the folder of the copy that stands there is the container's own already
    unnamed += [volume.destination for volume in volumes if not volume.source]
    return Setting(
        id=id,
        idmap=ids,
        user=user,
        home=home,
        shared=f"{base}/shared",
        etc=sharing.etc(nursery.places, options, {name: f"{base}/{name}" for name in etc_files(options, "")}),
        cgroups_path=f"{CGROUP_PARENT}/{id}" if nursery.cgroups else "",
        kernel=kernel,
        machine=uname.machine,
        namespaces=lower.namespaces(nursery.host),
        proc=lower.has_proc(nursery.host),
        mapped=ids.user_namespace and not nursery.idmap.user_namespace,
        counted="pids" in cgroups.layout().controllers,
        volumes={v.source: f"{nursery.places.home}/volumes/{v.source}/_data" for v in volumes if v.named},
        anonymous={place: f"{base}/volumes/{number}" for number, place in enumerate(unnamed)},
        profile=given.profile(options, uname.machine, kernel),
        numbers=given.numbers(options),
    )


def _may_be_volume(place: str) -> bool:
    # An image may ask for anything; the kernel's own places are not its to cover.
    kernel = any(place == own or place.startswith(own + "/") for own in ("/proc", "/sys", "/dev", SHARED))
    return place.startswith("/") and os.path.normpath(place) == place != "/" and not kernel


def _version(release: str) -> tuple[int, int]:
    first, _, rest = release.partition(".")
    digits = ""
    for character in rest:
        if not character.isdigit():
            break
        digits += character
    return int(first), int(digits or 0)


def create(
    nursery: Nursery,
    image: str,
    digest: Digest,
    config: ImageConfig,
    lowers: tuple[str, ...],
    command: tuple[str, ...] | None,
    options: Options,
) -> tuple[Record, Spec]:
    """A new container's directory, with its record and config.json. Nothing runs yet.

    ``NameInUse`` when the name is taken. If it fails, nothing of it is left.
    """
    places = nursery.places
    id = record.new_id()
    options = sharing.by_id(places, options)
    if options.publish_all:
        exposed = tuple(port for port in config.config.exposed_ports if port not in options.publish)
        options = msgspec.structs.replace(options, publish=(*options.publish, *exposed))
    if config.config.labels:  # as docker: what the image says of itself holds for its containers
        options = msgspec.structs.replace(options, labels={**config.config.labels, **options.labels})
    facts = setting(nursery, id, options, config.config, lowers)
    spec = compose(config.config, command, options, facts)
    assert spec.process is not None
    born = Record(
        id=id,
        image=image,
        image_digest=digest,
        command=spec.process.args,
        created=time.time(),
        options=msgspec.structs.replace(options, files={}),
        idmap=facts.owners,
        userns=facts.idmap if facts.mapped else idmap.HOST,
        rung=nursery.host.rung,
        facets=_facets(nursery, options),
    )
    with told("create", options.name or "a container"), names.claimed(places, options.name, id):
        try:
            furnish(places, id, options, spec, alone=facts.owners.user_namespace)
            if facts.volumes or facts.anonymous:
                from sandcell.runtime.engine import folders

                folders.furnish(nursery, options, facts, lowers)
            record.write(places, born)
        except BaseException:
            trees.remove(places.container(id))
            trees.remove(places.running(id))
            raise
    return born, spec


def _facets(nursery: Nursery, options: Options) -> tuple[Facet, ...]:
    real = ("users",) if userns.wanted(nursery.host, options) else ()
    shared = tuple(f for f in nursery.host.facets if f.state != "real" and f.name not in real)
    if options.network in ("none", "host"):
        return shared
    from sandcell.runtime.engine import wiring

    return (*shared, *wiring.facets(nursery, options))


def explain(
    nursery: Nursery,
    image: "Image",
    lowers: tuple[str, ...],
    command: tuple[str, ...] | None,
    options: Options,
) -> ContainerPlan:
    """The config.json and the steps of a container of ``image`` that is not made."""
    id = record.new_id()
    facts = setting(nursery, id, options, image.config.config, lowers)
    spec = compose(image.config.config, command, options, facts)
    files = rootfs(nursery, id, lowers, volatile=options.remove, owners=facts.owners, mapped=facts.mapped)
    wire = None
    if options.network not in ("none", "host"):
        from sandcell.runtime.engine import wiring

        wire = wiring.preview(nursery, options)
    compiler = filters.compiler(nursery.places)
    steps = plan(spec, files, compiler, cgroup_mounts(nursery), wire, reaper=options.init)
    return ContainerPlan(spec, steps, str(image.digest))


def furnish(places: Places, id: str, options: Options, spec: Spec, *, alone: bool) -> None:
    """Make a container's directories, the files that are mounted into it, and its config.json. ``alone``:
    it shares its network with nobody, as a plain user's."""
    base = places.container(id)
    os.makedirs(places.running(id), mode=0o700)
    os.mkdir(base, 0o700)
    for name in ("upper", "work", "shared"):
        os.mkdir(f"{base}/{name}", 0o755)
        os.chmod(f"{base}/{name}", 0o755)
    for name, text in etc_files(options, spec.hostname or os.uname().nodename, alone=alone).items():
        place(f"{base}/{name}", text.encode(), 0o644)
    for name, data in options.files.items():
        place_shared(f"{base}/shared", name, data)
    open_directory(f"{base}/shared/out")
    place(f"{base}/config.json", encode(spec), 0o600)


def open_directory(path: str) -> None:
    """A new directory that every user of a container may write to."""
    os.mkdir(path, 0o777)
    # A container may write where it lies, and put a link to a file of the host in its place.
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    os.fchmod(fd, 0o777)
    os.close(fd)


def place_shared(directory: str, name: str, data: bytes) -> None:
    """A new file below ``directory`` that every user of a container may read and execute."""
    parent = os.path.dirname(f"{directory}/{name}")
    if not os.path.isdir(parent):
        os.mkdir(parent, 0o755)
        os.chmod(parent, 0o755)
    place(f"{directory}/{name}", data, 0o555)


def place(path: str, data: bytes, mode: int) -> None:
    """A new file with exactly these bytes and this mode."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    # Unbuffered: an object for three calls of the kernel would take longer than they do.
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def spec_of(places: Places, born: Record) -> Spec:
    """The container's config.json. ``ContainerNotFound`` when it was removed meanwhile."""
    try:
        with open(f"{places.container(born.id)}/config.json", "rb") as file:
            return decode(Spec, file.read(), object="config.json")
    except FileNotFoundError:
        raise ContainerNotFound("look at", born.name, "somebody removed it meanwhile") from None


def rootfs(
    nursery: Nursery,
    id: str,
    lowers: tuple[str, ...],
    *,
    volatile: bool,
    owners: idmap.IdMap,
    mapped: bool = False,
) -> Rootfs:
    """The directories of its file system, whose ``owners`` are mapped so in the store. A container that is
    thrown away needs no syncing."""
    places = nursery.places
    base = places.container(id)
    if nursery.host.copying:
        return Rootfs(lower.root(base))
    return Rootfs(
        places.mount_point,
        (places.skeleton, *lowers),
        f"{base}/upper",
        f"{base}/work",
        volatile=volatile,
        userxattr=owners.user_namespace,
        mapped=mapped,
    )


def cgroup_mounts(nursery: Nursery) -> tuple[CgroupMount, ...]:
    """The control group file systems that a container shows."""
    return tuple(CgroupMount(*entry) for entry in cgroups.layout().mounts) if nursery.cgroups else ()


def plan_of(
    nursery: Nursery,
    born: Record,
    spec: Spec,
    lowers: tuple[str, ...],
    wire: s.Connect | s.Slirp | None = None,
) -> s.Plan:
    """The steps that start the container. ``wire``: what connects it to a network."""
    files = rootfs(
        nursery,
        born.id,
        lowers,
        volatile=born.options.remove,
        owners=born.idmap,
        mapped=born.userns.user_namespace,
    )
    compiler = filters.compiler(nursery.places)
    return plan(spec, files, compiler, cgroup_mounts(nursery), wire, reaper=born.options.init)


def start(
    nursery: Nursery, born: Record, lowers: tuple[str, ...], *, attach: bool, spec: Spec | None = None
) -> running.Running:
    """Start the container. ``attach``: its output comes to us. ``spec``: of one that was made a moment
    before. ``WrongState`` when it runs, ``ContainerNotFound`` when it was removed meanwhile."""
    with told("start", born.name):
        try:
            return _start(nursery, born, lowers, attach=attach, spec=spec)
        except StartFailed as error:
            if error.status == 125:  # because somebody else was quicker?
                refuse_if_running(nursery.places, born)
                if record.read(nursery.places, born.id) is None:
                    trees.remove(nursery.places.running(born.id))  # made by us just now
                    raise ContainerNotFound("start", born.name, "it was removed meanwhile") from None
            raise


def _prepared_again(places: Places, born: Record) -> Spec:
    """The config.json of a container that was made earlier, and may have run."""
    refuse_if_running(places, born)
    os.makedirs(places.running(born.id), mode=0o700, exist_ok=True)
    spec = spec_of(places, born)
    if born.options.remove and os.path.exists(f"{places.container(born.id)}/work/work"):
        # It could not be started, or its monitor was killed, or it would be gone.
        from sandcell.runtime.engine import lifecycle

        with lifecycle.alone(places, born, "start"):
            lifecycle.unmark(places, born)
    return spec


def _start(
    nursery: Nursery, born: Record, lowers: tuple[str, ...], *, attach: bool, spec: Spec | None
) -> running.Running:
    places = nursery.places
    make_skeleton(places)
    if spec is None:
        spec = _prepared_again(places, born)
    network = _UNWIRED
    if born.options.network not in ("none", "host") or born.options.publish:
        from sandcell.runtime.engine import wiring

        network = wiring.begin(nursery, born)
        spec = sharing.replaced(spec, {"network": network.joins} if network.joins else {})
    spec = sharing.joined(places, born, spec)
    if nursery.host.copying:
        home = places.container(born.id)
        lower.furnish(nursery.launcher, nursery.host, born.idmap, places, home, lowers)
    job = jobs.Run(
        id=born.id,
        plan=seal(plan_of(nursery, born, spec, lowers, network.wire)),
        home=places.container(born.id),
        run=places.running(born.id),
        remove=born.options.remove,
        die_with_client=born.options.die_with_client,
        interactive=born.options.interactive,
        copied=nursery.host.copying,
        ports=network.ports,
        target=network.target,
        target6=network.target6,
        afterwards=network.afterwards,
        late=network.late,
    )
    cgroup = spec.linux.cgroups_path if spec.linux else ""

    def members(pid: int) -> Callable[[], list[int]]:
        init = identify(pid)
        return lambda: processes.of_container(init, group(cgroup, init)) if init else []

    begun = running.begin(
        nursery.launcher,
        job,
        members,
        born.name,
        born.command,
        listen=attach,
        interactive=born.options.interactive,
    )
    begun.exchange = f"{places.container(born.id)}/shared/out"
    return begun


def runs(places: Places, born: Record) -> bool:
    """Does it run? ``WrongState`` when it is paused, for then ``start`` is not what lets it go on."""
    now = record.current(places, born)
    if record.paused(places, born, now):
        raise WrongState("start", born.name, "it is paused", f"unpause {born.name}")
    return now.status == state.RUNNING


def refuse_if_running(places: Places, born: Record) -> None:
    """``WrongState`` when the container runs."""
    if runs(places, born):
        raise WrongState(
            "start",
            born.name,
            "it is running already",
            f"`exec` runs a command in it; stop it first: stop {born.name}",
        )


def group(path: str, init: Identity | None = None) -> cgroups.Cgroup | None:
    """The control group at ``path``, or ``None`` for the empty path. ``init``: a process in it, by which
    it is found also where another scope of systemd's made it."""
    if not path:
        return None
    return cgroups.Cgroup(path, cgroups.around(path, init.pid) if init else cgroups.layout())
