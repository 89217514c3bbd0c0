"""What people read: spelled right, with links that lead somewhere and pictures told in words."""

import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests import prose
from tests.prose import CHECKOUT

PAGES = list(prose.pages())
LONGEST = 45
"""Words of a sentence, above which it is mentioned."""


def dead(path: Path, text: str, others: dict[Path, str]) -> list[str]:
    """The links and pictures of a page that lead nowhere. Addresses outside are only looked at."""
    found = []
    for one in prose.inline(text):
        target = str(one.attrs.get("href") or one.attrs.get("src") or "")
        if one.type not in ("link_open", "image"):
            continue
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            good = parts.scheme in ("http", "https") and "." in parts.netloc + "." and " " not in target
            good = good and bool(parts.hostname)
        else:
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            good = file.exists() and (
                not parts.fragment or parts.fragment in prose.anchors(others.get(file, ""))
            )
        if not good:
            found.append(f"{path.name}: {target} leads nowhere")
    return found


def silent(path: Path, text: str) -> list[str]:
    """Pictures that nobody can see who cannot see: without a text, in Markdown and in HTML."""
    found = [
        f"{path.name}: {one.attrs['src']}"
        for one in prose.inline(text)
        if one.type == "image" and not one.content
    ]
    tags = re.findall(r"<img\b[^>]*>", text)
    return found + [f"{path.name}: {tag}" for tag in tags if not re.search(r"""\balt=(["'])[^"']+\1""", tag)]


def unknown(text: str, known: set[str]) -> list[str]:
    """Words that neither a dictionary of English nor ``known`` has. Names with capitals inside and with
    figures are nobody's to spell."""
    argv = ("hunspell", "-d", "en_US,en_GB", "-i", "utf-8", "-l")
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    said = {word.removesuffix("'s") for word in done.stdout.split()}
    return sorted(
        word for word in said if word[1:].isalpha() and word[1:].islower() and word.lower() not in known
    )


def terms() -> set[str]:
    """What may be written though no dictionary has it: the list, code in pages, names in the source."""
    shown = [one.content for _, text in PAGES for one in prose.inline(text) if one.type == "code_inline"]
    code = [path.read_text() for room in ("runtime", "magics", "tests") for path in _python(CHECKOUT / room)]
    listed = (CHECKOUT / "docs" / "spelling.txt").read_text()
    return set(re.findall(r"[a-z]+", " ".join((*shown, *code, listed)).lower()))


def _python(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if path != Path(__file__)]


def test_links_lead_somewhere_and_pictures_have_words() -> None:
    others = dict(PAGES)
    assert [line for path, text in PAGES for line in dead(path, text, others) + silent(path, text)] == []


@pytest.mark.skipif(
    shutil.which("hunspell") is None or not Path("/usr/share/hunspell/en_GB.dic").exists(),
    reason="hunspell and its English dictionaries are not installed (./dev test installs them as root)",
)
def test_words_are_in_a_dictionary_or_are_terms() -> None:
    known = terms()
    assert unknown("The kernal runs podman for Jupyter.", known) == ["kernal"]
    wrong = unknown("\n".join(prose.words(text) for _, text in PAGES), known)
    assert wrong == [], "mend them, or add what is right to docs/spelling.txt"


def test_usual_mistakes_are_not_made() -> None:
    argv = (str(Path(sys.executable).with_name("codespell")), "--ignore-words-list=passt,te,processs")
    places = ("docs", "notebooks", "runtime", "magics", "sandcell", "binder", "dev")
    done = subprocess.run(
        (*argv, *places, *CHECKOUT.glob("*.md")), cwd=CHECKOUT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    again = subprocess.run((*argv, "-"), input="teh\n", cwd=CHECKOUT, capture_output=True, text=True)
    assert "the" in again.stdout


def test_sentences_are_short() -> None:
    for path, text in PAGES:
        for sentence in prose.sentences(text):
            if (count := len(sentence.split())) > LONGEST:
                warnings.warn(f"{path.name}: {count} words: {sentence[:60]}…", stacklevel=1)
    assert list(prose.sentences("One two. Three `four`: five.\n")) == ["One two.", "Three four:", "five."]


def test_the_checks_notice(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    texts = {page: "# A `b` (c)\n", other: "# Two words\n"}
    for file, text in texts.items():
        file.write_text(text)
    good = "[a](other.md#two-words) [b](#a-b-c) [c](https://example.org/x) ![d](other.md)"
    assert dead(page, texts[page] + good, {**texts, page: texts[page] + good}) == []
    for target in ("nowhere.md", "other.md#three", "#three", "https:///x", "htp://example.org"):
        assert len(dead(page, f"[x]({target})", texts)) == 1, target
    assert silent(page, '![](x.png) <img src="y.png" alt=""> ![z](z.png) <img alt="w" src="w.png">') == [
        "page.md: x.png",
        'page.md: <img src="y.png" alt="">',
    ]
