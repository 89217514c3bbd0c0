"""What a page is like for people who do not see it as its makers do, measured there. No assertions."""

from pathlib import Path
from typing import Any

_CONTRAST = Path(__file__).with_name("contrast.js").read_text()

CONTROLS = {
    "button", "link", "textbox", "searchbox", "radio", "tab", "tablist", "combobox", "spinbutton", "tree",
    "treeitem", "dialog", "region", "table", "log", "toolbar", "main",
}  # fmt: skip


def faint(page: Any, root: str = ".sc") -> list[str]:
    """Texts below ``root`` that too little tells from their paper: ``ratio class: text``."""
    return list(page.locator(root).first.evaluate(_CONTRAST))


def heard(page: Any) -> list[tuple[str, str]]:
    """Role and name of all that a screen reader may stop at, in order."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    told = [
        (node.get("role", {}).get("value", ""), node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    return [(role, name) for role, name in told if role in CONTROLS]


def seen_as(page: Any, deficiency: str) -> None:
    """From now on the page is drawn as somebody sees it: ``deuteranopia``, ``protanopia``, ``none``, …"""
    page.context.new_cdp_session(page).send("Emulation.setEmulatedVisionDeficiency", {"type": deficiency})


def cut(page: Any, root: str = ".sc") -> list[str]:
    """Controls that stand out of the page on a side, or have no size, by their texts."""
    return list(
        page.locator(root).first.evaluate(
            """(root) => [...root.querySelectorAll("button, input, select, a, [role=tree]")]
                .filter((one) => one.checkVisibility() && !one.matches("[type=radio]"))
                .filter((one) => {
                    const { left, right, width } = one.getBoundingClientRect();
                    return left < 0 || right > innerWidth + 0.5 || width < 8;
                })
                .map((one) => one.getAttribute("aria-label") ?? one.textContent)"""
        )
    )
