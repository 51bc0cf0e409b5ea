"""Promises that the source makes about itself, held by reading it."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("base", "shmring", "loader", "bindings")


def sources(*folders: str, suffixes: tuple[str, ...] = (".c", ".h")) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in suffixes]


def test_every_memory_ordering_of_the_ring_names_its_partner() -> None:
    """Each tag stands at two places at least, or says that it pairs with itself."""
    text_of_tag: dict[str, list[str]] = {}
    for path in sources("shmring", "loader"):
        for match in re.finditer(r"/\* \[([A-Z]+)\](.*?)\*/", path.read_text(), re.DOTALL):
            text_of_tag.setdefault(match[1], []).append(match[2])
    assert {"COMMIT", "RELEASE", "END", "LOG", "LAST"} <= set(text_of_tag)
    for tag, texts in text_of_tag.items():
        assert all("airs with" in text for text in texts), tag
        if not all("airs with itself" in text for text in texts):
            assert any(" release" in text for text in texts), f"[{tag}] has no releasing end"
            assert any(" acquire" in text for text in texts), f"[{tag}] has no acquiring end"


def test_every_relaxed_access_says_why() -> None:
    for path in sources("shmring", "loader/run"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if "memory_order_relaxed" in line and "memory_order_acq_rel" not in line:
                nearby = "\n".join(lines[max(0, number - 8) : number + 1])
                assert "relaxed:" in nearby or re.search(r"\[[A-Z]+\]", nearby), f"{path.name}:{number + 1}"


def test_file_names_are_unique() -> None:
    names = Counter(path.name for path in sources(*CODE, "tests", suffixes=(".c", ".h", ".py")) if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_the_stages_know_neither_each_other_nor_the_ring() -> None:
    allowed = {"plan": "loader/plan/", "fetch": "loader/fetch/", "decode": "loader/decode/", "shape": "loader/shape/"}
    shared = ("base/", "loader/item_status.h", "loader/pixels.h", "loader/file_bytes.h", "loader/segment_table.h")
    for stage, own in allowed.items():
        for path in sources(f"loader/{stage}"):
            for include in re.findall(r'#include "([^"]+)"', path.read_text()):
                assert include.startswith((own, *shared)), f"{path.name} includes {include}"
    for path in sources("shmring"):
        for include in re.findall(r'#include "([^"]+)"', path.read_text()):
            assert include.startswith(("base/", "shmring/")), f"{path.name} includes {include}"


def test_every_c_file_is_in_the_table_of_contents() -> None:
    listed = (ROOT / "CMakeLists.txt").read_text()
    for path in sources("shmring", "loader", suffixes=(".c",)):
        assert str(path.relative_to(ROOT)) in listed
    for path in sorted((ROOT / "tests").glob("test_*.c")):
        assert re.search(rf"\b{path.stem.removeprefix('test_')}\b", listed), path.name


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "bench/README.md", ROOT / "examples/README.md"]


def anchors(document: Path) -> set[str]:
    """What GitHub calls the headings: lower case, without punctuation, a hyphen for each space."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        for target in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text):
            if target.startswith(("http:", "https:", "mailto:")):
                continue
            path, _, anchor = target.partition("#")
            page = document.parent / path if path else document
            assert page.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(page), f"{document.name}: {target} is no heading there"


def test_every_page_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in sorted((ROOT / "docs").glob("*.md")) if f"(docs/{page.name})" not in readme] == []


def test_the_files_that_pages_name_are_there() -> None:
    folders = (*CODE, "tests", "tools", "bench", "examples")
    files = [f"/{path.relative_to(ROOT)}" for folder in folders for path in (ROOT / folder).rglob("*")]
    for document in DOCUMENTS:
        for name in re.findall(r"`([a-z0-9_./]+\.(?:c|h|py|pyi))`", document.read_text()):
            assert any(path.endswith(f"/{name}") for path in files), f"{document.name}: {name}"


def test_every_sample_photograph_has_its_origin_and_licence() -> None:
    photos = sorted(path for path in (ROOT / "tests/data/photos").rglob("*") if path.is_file())
    rows = (ROOT / "tests/data/PHOTOS.md").read_text()
    assert len(photos) >= 30 and len({path.parent for path in photos}) >= 3
    assert sum(path.stat().st_size for path in photos) < 3_000_000
    for path in photos:
        assert f"| {path.parent.name}/{path.name} |" in rows, path.name


def test_the_readme_has_no_gaps() -> None:
    assert not re.findall(r"\b[A-Z]+_(?:OUTPUT|TABLE|CLAIM|ERROR)\b", (ROOT / "README.md").read_text())


def test_shell_scripts_parse() -> None:
    for script in ("demo", "check", ".ci/run", "tools/setup.sh", "bench/run", "tests/soak/run", "tests/fuzz/run", "tests/exactness/run", "tests/hostile/run", "tests/resume/run", "tests/distributed/run", "tests/uniformity/run"):
        subprocess.run(["bash", "-n", ROOT / script], check=True)
