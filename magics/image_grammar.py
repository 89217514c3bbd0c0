"""What the sub-commands of ``%image`` take."""

from sandcell.magics.arguments import Flag, Grammar


def verb(
    name: str,
    about: str,
    *,
    words: str = "NAME",
    least: int = 1,
    most: int | None = 1,
    stops: bool = False,
    offers: str = "container",
    flags: tuple[Flag, ...] = (),
    terminal: str = "",
) -> Grammar:
    """The grammar of one sub-command."""
    return Grammar(
        name=name,
        words=words,
        about=about,
        flags=flags,
        least=least,
        most=most,
        stops=stops,
        offers=offers,
        terminal=terminal,
    )


IMAGE_VERBS = {
    "ls": verb(
        "%image ls",
        "The images of the store.",
        words="",
        least=0,
        most=0,
        flags=(
            Flag(key="quiet", names=("-q", "--quiet"), help="only ids"),
            Flag(
                key="filters",
                names=("--filter",),
                value="KEY=VALUE",
                many=True,
                help="label=KEY[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE, dangling=true",
            ),
        ),
    ),
    "history": verb("%image history", "The instructions that made an image, newest first.", offers="image"),
    "inspect": verb(
        "%image inspect", "Everything known about images, as JSON.", words="NAME…", most=None, offers="image"
    ),
    "tag": verb(
        "%image tag",
        "One more name for an image.",
        words="SOURCE TARGET[:TAG]",
        least=2,
        most=2,
        offers="image",
    ),
    "rm": verb(
        "%image rm",
        "Remove names; the image goes with its last one.",
        words="NAME…",
        most=None,
        offers="image",
        flags=(Flag(key="force", names=("-f", "--force"), help="even if containers were made of it"),),
    ),
    "pull": verb(
        "%image pull",
        "Bring images from the registry in their name, Docker Hub where there is none.",
        words="NAME…",
        most=None,
        flags=(
            Flag(key="platform", names=("--platform",), value="OS/ARCH", help="of another machine"),
            Flag(key="all_platforms", names=("-a", "--all-platforms"), help="the whole index"),
        ),
    ),
    "push": verb(
        "%image push",
        "Send an image to the registry in its name.",
        offers="image",
        flags=(Flag(key="platform", names=("--platform",), value="OS/ARCH", help="only this of an index"),),
    ),
    "login": verb(
        "%image login",
        "Keep a name and a password for a registry; the password is asked for.",
        words="[REGISTRY]",
        least=0,
        flags=(Flag(key="username", names=("-u", "--username"), value="NAME", help="who you are there"),),
    ),
    "logout": verb("%image logout", "Forget the login for a registry.", words="[REGISTRY]", least=0),
    "tags": verb("%image tags", "All tags that a repository has in its registry."),
    "save": verb(
        "%image save",
        "Write images to one archive that other tools can load.",
        words="NAME…",
        most=None,
        offers="image",
        flags=(
            Flag(key="output", names=("-o", "--output"), value="FILE", help="the file to write"),
            Flag(
                key="form", names=("--format",), value="FORMAT", help="oci-archive, oci-dir or docker-archive"
            ),
        ),
    ),
    "load": verb(
        "%image load",
        "Take the images of an OCI layout, an OCI archive or a docker archive.",
        words="",
        least=0,
        most=0,
        flags=(
            Flag(key="input", names=("-i", "--input"), value="FILE", help="the archive or layout"),
            Flag(key="name", names=("--name",), value="NAME", help="what to call a single image"),
        ),
    ),
    "import": verb(
        "%image import",
        "Make an image of the tar of a root file system.",
        words="FILE [NAME[:TAG]]",
        most=2,
        flags=(
            Flag(
                key="changes",
                names=("-c", "--change"),
                value="LINE",
                many=True,
                help="a line of a Dockerfile for its settings, such as 'CMD sh'",
            ),
            Flag(key="message", names=("-m", "--message"), value="TEXT", help="a note in its history"),
            Flag(key="platform", names=("--platform",), value="OS/ARCH", help="what it is for"),
        ),
    ),
    "files": verb(
        "%image files",
        "The files of an image, or what one of its layers changes.",
        offers="image",
        flags=(Flag(key="layer", names=("--layer",), value="NUMBER", help="only this one; 1 is the lowest"),),
    ),
    "diff": verb(
        "%image diff", "How the files of two images differ.", words="OLD NEW", least=2, most=2, offers="image"
    ),
    "waste": verb(
        "%image waste",
        "Files that an upper layer replaced or deleted: stored, and never read.",
        offers="image",
    ),
    "du": verb("%image du", "How many bytes images take, shared and alone.", words="", least=0, most=0),
    "prune": verb(
        "%image prune",
        "What nothing needs any more; -f removes it.",
        words="",
        least=0,
        most=0,
        flags=(
            Flag(key="force", names=("-f", "--force"), help="remove it"),
            Flag(key="dry_run", names=("-n", "--dry-run"), help="only show it, as without -f"),
            Flag(key="every", names=("-a", "--all"), help="also what build steps made, for the next build"),
        ),
    ),
}
