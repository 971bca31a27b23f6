"""Source files from the file system: the standard library, installed packages, folders and single files."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Callable, Iterator
from importlib import metadata
from itertools import chain
from pathlib import Path

from selfcodealign.errors import SourceError, did_you_mean
from selfcodealign.installation import install_packages
from selfcodealign.rows import Dropped, SourceFile
from selfcodealign.settings import SeedSettings
from selfcodealign.sources.licences import is_licence_file, name_licence_texts, name_package_licence
from selfcodealign.sources.place import Place

# Tests are not seeds; idlelib and lib2to3 are programs inside the library; *-packages hold third-party code.
_NOT_LIBRARY = {"test", "tests", "idle_test", "idlelib", "lib2to3", "site-packages", "dist-packages", "_bundled"}
_NOT_SOURCE = {"__pycache__", "node_modules"}


def open_stdlib(settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the Python files of the interpreter's standard library, without tests and bundled programs."""
    root = Path(sysconfig.get_path("stdlib"))
    place = Place(settings, f"{platform.python_implementation()} {platform.python_version()}", "PSF-2.0")
    paths = _walk(root, lambda name: name.endswith(".py"), _NOT_LIBRARY)
    return _read_each(place, root, _need_one(paths, f"the standard library at {root} holds no Python source"))


def open_package(name: str, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read the Python files of an installed distribution, without its tests."""
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        known = {found.metadata["Name"] for found in metadata.distributions() if found.metadata["Name"]}
        close = did_you_mean(name, known)
        raise SourceError(
            f'package "{name}" is not installed here: {install_packages(name)}, or give its folder{close}'
        ) from None
    records = [file for file in package.files or [] if file.suffix == ".py" or is_licence_file(file.name)]
    paths = sorted(
        str(file)
        for file in records
        if file.suffix == ".py" and ".." not in file.parts and not _NOT_LIBRARY.intersection(file.parts)
    )
    root = Path(str(package.locate_file("")))
    if not any((root / path).is_file() for path in paths):
        raise SourceError(
            f'package "{name}" records no Python files (is it an editable install?): give its folder instead'
        )
    texts = [_read_text(root / str(file)) for file in records if is_licence_file(file.name) and file.suffix != ".py"]
    licence = name_package_licence(package.metadata, texts)  # type: ignore[arg-type]
    place = Place(settings, f"{package.metadata['Name']}=={package.version}", licence or "")
    return _read_each(place, root, (root / path for path in paths))


def open_python_file(path: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read one Python file."""
    return _read_each(Place(settings, path.name), path.parent, iter([path]))


def open_folder(path: Path, settings: SeedSettings) -> Iterator[SourceFile | Dropped]:
    """Read all Python files below a folder, sorted, without hidden folders and virtual environments."""
    found = _need_one(
        find_files(path, (".py",)), f"{path} holds no Python files: give a folder with .py files in it, or a data file"
    )
    texts = [_read_text(path / name) for name in list_names(path) if is_licence_file(name)]
    licence = name_licence_texts(texts)
    return _read_each(Place(settings, path.resolve().name, licence or ""), path, found)


def find_files(root: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Find the files below `root` with one of these endings, sorted folder by folder."""
    return _walk(root, lambda name: name.endswith(endings), _NOT_SOURCE)


def list_names(folder: Path) -> list[str]:
    """List a folder for suggestions in messages, sorted; empty if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _walk(root: Path, wanted: Callable[[str], bool], excluded: set[str]) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        if folder != str(root) and "pyvenv.cfg" in names:
            subfolders.clear()
            continue
        subfolders[:] = sorted(
            name for name in subfolders if name not in excluded and not name.startswith(".") and name != "__pycache__"
        )
        for name in sorted(filter(wanted, names)):
            yield Path(folder, name)


def _need_one(paths: Iterator[Path], otherwise: str) -> Iterator[Path]:
    """Check that there is a path and return all: an empty source is an error before any work."""
    first = next(paths, None)
    if first is None:
        raise SourceError(otherwise)
    return chain([first], paths)


def _read_each(place: Place, root: Path, paths: Iterator[Path]) -> Iterator[SourceFile | Dropped]:
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            if not path.is_file():  # a FIFO would block for ever; a dangling link cannot be read
                yield place.refuse(name, "unreadable", "not a regular file")
                continue
            size = path.stat().st_size
            if size > place.max_bytes:
                yield place.refuse(name, "too_large", place.describe_size(size))
                continue
            content = path.read_bytes()
        except OSError as error:
            yield place.refuse(name, "unreadable", error.strerror or str(error))
            continue
        yield place.admit(name, content)


def _read_text(path: Path) -> str:
    """Read a licence file; "" if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace") if path.is_file() else ""
    except OSError:
        return ""
