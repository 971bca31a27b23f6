"""Source files from the file system: the standard library, installed packages, folders and single files."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from itertools import chain
from pathlib import Path

from selfcodealign.errors import SourceError, did_you_mean
from selfcodealign.installation import install_packages
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import is_licence_file, name_licence_texts, name_package_licence
from selfcodealign.sources.place import CODE_ENDINGS, Place
from selfcodealign.sources.regular import Found, Reader, leads_inside, read_regular, walk

_OTHER_DISTRIBUTIONS = frozenset(("site-packages", "dist-packages"))


def open_stdlib(settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the Python files of the interpreter's standard library, without the packages installed beside it."""
    root = Path(sysconfig.get_path("stdlib"))
    place = Place(settings, f"{platform.python_implementation()} {platform.python_version()}", "PSF-2.0")
    found = walk(root, lambda name: name.endswith(".py"), _OTHER_DISTRIBUTIONS)
    return _read_each(place, root, _need_one(found, f"the standard library at {root} holds no Python source"))


def open_package(name: str, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the Python files of an installed distribution."""
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        known = {found.metadata["Name"] for found in metadata.distributions() if found.metadata["Name"]}
        close = did_you_mean(name, known)
        raise SourceError(
            f'package "{name}" is not installed here: {install_packages(name)}, or give its folder{close}'
        ) from None
    records = [file for file in package.files or [] if file.suffix == ".py" or is_licence_file(file.name)]
    paths = sorted(str(file) for file in records if file.suffix == ".py" and ".." not in file.parts)
    root = Path(str(package.locate_file("")))
    if not any((root / path).is_file() for path in paths):
        raise SourceError(
            f'package "{name}" records no Python files (is it an editable install?): give its folder instead'
        )
    texts = [_read_text(root / str(file)) for file in records if is_licence_file(file.name) and file.suffix != ".py"]
    licence = name_package_licence(package.metadata, texts)  # type: ignore[arg-type]
    place = Place(settings, f"{package.metadata['Name']}=={package.version}", licence or "")
    return _read_each(place, root, (Found(root / path) for path in paths))


def open_python_file(path: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read one Python file or notebook."""
    return _read_each(Place(settings, path.name), path.parent, iter([Found(path)]))


def open_folder(path: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read all Python files and notebooks below a folder, sorted, without hidden folders and virtual environments."""
    found = _need_one(
        walk(path, lambda name: name.endswith(CODE_ENDINGS)),
        f"{path} holds no Python files: give a folder with .py files in it, an archive, or a data file",
    )
    texts = [_read_text(path / name) for name in list_names(path) if is_licence_file(name)]
    licence = name_licence_texts(texts)
    return _read_each(Place(settings, path.resolve().name, licence or ""), path, found, own_tree=True)


def find_files(root: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Find the files below `root` with one of these endings, sorted folder by folder."""
    return (found.path for found in walk(root, lambda name: name.endswith(endings)) if not found.problem)


def list_names(folder: Path) -> list[str]:
    """List a folder for suggestions in messages, sorted; empty if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _need_one(found: Iterator[Found], otherwise: str) -> Iterator[Found]:
    """Check that there is a file and return all: an empty source is an error before any work."""
    head: list[Found] = []
    for entry in found:
        head.append(entry)
        if not entry.problem:
            return chain(head, found)
    raise SourceError(otherwise)


def _read_each(
    place: Place, root: Path, found: Iterator[Found], *, own_tree: bool = False
) -> Iterator[SourceFile | Dropped]:
    """Read what was found; in a tree, a link to a file of the tree is passed over, because the file is read as well."""
    reader = Reader()
    for entry in found:
        name = entry.path.relative_to(root).as_posix()
        if entry.problem:
            yield place.refuse(name, entry.problem, entry.detail)
            continue
        try:
            size, problem, detail = reader.look(entry.path)
            if not problem and own_tree and leads_inside(entry.path, root):
                problem, detail = "link", "another name of a file that is read"
            if problem:
                yield place.refuse(name, problem, detail)
            elif dropped := place.pass_over(name, size):
                yield dropped
            else:
                yield place.admit(name, read_regular(entry.path, place.limit_of(name) + 1))
        except OSError as error:
            yield place.refuse(name, "unreadable", error.strerror or str(error))


def _read_text(path: Path) -> str:
    """Read a licence file; "" if it cannot be read."""
    try:
        return read_regular(path, 1 << 20).decode("utf-8", "replace") if path.is_file() else ""
    except OSError:
        return ""
