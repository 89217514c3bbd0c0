"""What can be done about a layer that refuses, by whom: a table, for people who administer little."""

from typing import Literal

import msgspec

Audience = Literal["laptop", "jupyterhub", "kubernetes", "binder"]

AUDIENCES: dict[Audience, str] = {
    "laptop": "your own laptop",
    "jupyterhub": "JupyterHub's administrator",
    "kubernetes": "Kubernetes",
    "binder": "Binder",
}
"""Each audience, as a person is spoken of."""


class Remedy(msgspec.Struct, frozen=True):
    """What one audience can do; ``help`` is a sentence or two, with the setting's exact name."""

    audience: Audience
    help: str


_NOTHING = "nothing; Binder sets this for everybody. The lessons know this rung and go on"

_TABLE: dict[str, tuple[str, str, str, str]] = {
    "seccomp": (
        "outside of containers nothing filters you. In one: docker run --security-opt seccomp=FILE, with a "
        "profile that allows what is named above; for a try seccomp=unconfined",
        'c.KubeSpawner.container_security_context = {"seccompProfile": {"type": "Unconfined"}}; with '
        'DockerSpawner c.DockerSpawner.extra_host_config = {"security_opt": ["seccomp=unconfined"]}',
        "securityContext: {seccompProfile: {type: Localhost, localhostProfile: FILE}}, or type: Unconfined",
        _NOTHING,
    ),
    "AppArmor": (
        "load the profile that comes with sandcell and start Jupyter with it: "
        "aa-exec -p sandcell -- jupyter lab. In a container: docker run --security-opt apparmor=unconfined",
        'c.KubeSpawner.container_security_context = {"appArmorProfile": {"type": "Unconfined"}}; with '
        'DockerSpawner extra_host_config = {"security_opt": ["apparmor=unconfined"]}',
        "securityContext: {appArmorProfile: {type: Unconfined}}",
        _NOTHING,
    ),
    "SELinux": (
        "ausearch -m avc -ts recent shows what was refused. In a container: "
        "docker run --security-opt label=disable",
        "let pods run with an SELinux type that may make namespaces, such as container_engine_t",
        "securityContext: {seLinuxOptions: {type: container_engine_t}}",
        _NOTHING,
    ),
    "no_new_privs": (
        "start Jupyter from a plain terminal, not from a service or a sandbox that sets NoNewPrivileges",
        "c.KubeSpawner.allow_privilege_escalation = True. It is needed for several users inside, "
        "and for nothing else",
        "securityContext: {allowPrivilegeEscalation: true}",
        "nothing, and nothing is needed: one user inside is enough for the lessons",
    ),
    "sysctl": (
        "as root, once: the command above. In a file below /etc/sysctl.d it holds after the next start",
        "set it on the machines that users' servers run on",
        "set it on the nodes: a pod cannot. A DaemonSet or the nodes' image does it",
        _NOTHING,
    ),
    "delegation": (
        "start Jupyter in a group of its own: systemd-run --user --scope -p Delegate=yes jupyter lab",
        "with SystemdSpawner c.SystemdSpawner.unit_extra_properties = {'Delegate': 'yes'}; in pods a "
        "learner's limit is the pod's: c.KubeSpawner.mem_limit and cpu_limit",
        "limit the pod: resources: {limits: {memory: 1Gi, cpu: 1}}; containers in it share that",
        "nothing; containers share the limits that Binder gives to you",
    ),
    "masked /proc": (
        "in a container: docker run --security-opt systempaths=unconfined",
        'c.KubeSpawner.container_security_context = {"procMount": "Unmasked"}',
        "securityContext: {procMount: Unmasked}, with hostUsers: false",
        _NOTHING,
    ),
    "capabilities": (
        "run Jupyter as a plain user where user namespaces are allowed. In a container: docker run --cap-add "
        "with the name above",
        'c.KubeSpawner.container_security_context = {"capabilities": {"add": ["SYS_ADMIN"]}}. That is much: '
        "a plain user with user namespaces is the safer way",
        "securityContext: {capabilities: {add: [SYS_ADMIN]}}, or runAsNonRoot: true "
        "with user namespaces allowed",
        _NOTHING,
    ),
    "file system": (
        "put the store on a local disk: export SANDCELL_HOME=/var/tmp/sandcell",
        "mount a local volume into users' servers and set SANDCELL_HOME to it (c.KubeSpawner.environment)",
        "a volume of kind emptyDir, and the variable SANDCELL_HOME with its path",
        "nothing; files are copied instead, which takes longer",
    ),
    "id ranges": (
        "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 YOUR-NAME",
        "the same usermod in the image of users' servers, which also needs the package uidmap",
        "the same usermod in the pod's image, and allowPrivilegeEscalation: true",
        "nothing, and nothing is needed: one user inside is enough for the lessons",
    ),
    "iptables": (
        "as root: the commands above; they hold until the next start",
        "the commands above on the machines that users' servers run on",
        "the commands above on the nodes, or leave bridges away: containers of a pod rarely need one",
        _NOTHING,
    ),
    "tool": (
        "install the package that is named above",
        "install the package in the image of users' servers",
        "install the package in the pod's image",
        "name the package in the file binder/apt.txt of the repository",
    ),
    "kernel": (
        "update the distribution and start the new kernel",
        "give the machines that users' servers run on a newer kernel",
        "give the nodes a newer kernel",
        _NOTHING,
    ),
}

LAYERS_WITH_REMEDIES = tuple(_TABLE)


def remedies(layer: str) -> tuple[Remedy, ...]:
    """What each audience can do about ``layer``; nothing for a layer that is not known."""
    helps = _TABLE.get(layer, ())
    return tuple(Remedy(audience, help) for audience, help in zip(AUDIENCES, helps, strict=False))
