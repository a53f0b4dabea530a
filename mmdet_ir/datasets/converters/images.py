"""Image files of a source, found safely."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..coco_files import is_data_set, label_files
from ..images.files import find_files, image_suffixes
from ..images.names import FileNames, match_names
from .report import ConversionReport


def resolve_inside(src: Path, folder: Path, name: object, where: str) -> Path:
    r"""Path of a file that an annotation names, without touching the file system.

    Args:
        src: Folder that must not be left.
        folder: What ``name`` is relative to; ``src`` or a folder in it.
        name: As the annotation has it; ``..`` and ``\`` are allowed as long as the path stays in ``src``.
        where: For the message.

    Raises:
        ValueError: If ``name`` is no text, empty, absolute, or leads out of ``src``.
    """
    if not isinstance(name, str):
        raise ValueError(f'{where}: expected a file name, got {type(name).__name__}')
    if not name.strip() or '\0' in name:
        raise ValueError(f'{where}: expected a file name, got {name!r}')
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise ValueError(f'{where}: expected a file name relative to {folder}, got {name!r}')
    path = Path(os.path.normpath(folder / name.replace('\\', '/')))
    if not path.is_relative_to(os.path.normpath(src)):
        raise ValueError(f'{where}: expected a file inside {src}, got {name!r}, which leads out of it')
    return path


def name_in_set(src: Path, path: Path) -> str:
    """``file_name`` in the data set: the path in ``src``, without a first folder ``images`` or ``JPEGImages``."""
    parts = path.relative_to(os.path.normpath(src)).parts
    return '/'.join(parts[1:] if len(parts) > 1 and parts[0] in ('images', 'JPEGImages') else parts)


def find_source_files(
    src: Path, report: ConversionReport, suffixes: Sequence[str] | None = None, folder: Path | None = None
) -> list[Path]:
    """Files of a source, sorted by path, but for the data sets that were written into it, which a note names.

    Args:
        src: Folder of the source.
        report: Takes the notes.
        suffixes: Endings in lower case; None for those of images.
        folder: Where to look, ``src`` or a folder in it.
    """
    found = find_files(folder or src, suffixes or image_suffixes())
    above = {folder for place in {path.parent for path in found} for folder in (place, *place.parents)}
    sets = {place for place in above if place != src and place.is_relative_to(src) and _is_output(place)}
    notes = [f'{path} was left out: it is a data set that was made earlier, and no source' for path in sorted(sets)]
    report.notes += [note for note in notes if note not in report.notes]
    return [path for path in found if not sets.intersection(path.parents)] if sets else found


def _is_output(folder: Path) -> bool:
    """Whether this is a data set that was made earlier, and nobody has written labels beside its images since."""
    return is_data_set(folder) and not label_files(folder / 'images')


def files_by_name(files: Iterable[Path], name: Callable[[Path], Path | str]) -> dict[Path | str, list[Path]]:
    """Files by what they are called apart from their endings or folders; two files may have one name."""
    found = {}
    for file in files:
        found.setdefault(name(file), []).append(file)
    return found


def note_shared(images: Mapping[Path, list[Path]], report: ConversionReport) -> None:
    """Note the images that share a label file or a mask, since they differ by their endings only.

    Args:
        images: By their label file or mask.
        report: Takes the note.
    """
    shared = {label: found for label, found in images.items() if len(found) > 1}
    if shared:
        label, found = next(iter(shared.items()))
        report.notes.append(
            f'{sum(map(len, shared.values()))} images share their labels with another image, from which they differ '
            f'by the ending: the objects are written for each of them. The first: {label} is of '
            f'{" and of ".join(path.name for path in found)}'
        )


class ImageFinder:
    """Finds the images of a source, whatever their annotations call them.

    An image is where its annotation says. If there is none, it is the one file that the name can mean (see
    ``FileNames``) in the folder that the name is relative to, or with its folders in the whole source; else the one in
    that folder that has the name of the annotation file; else the one in the whole source that has one of these two
    names. Nothing outside the source is ever looked at.

    Args:
        src: Folder of the source.
    """

    def __init__(self, src: Path) -> None:
        self.src = Path(os.path.normpath(src))
        self._seen = ConversionReport()
        self._others: list[str] = []
        self._found: set[Path] = set()
        self._files: list[Path] | None = None
        self._inside: dict[Path, FileNames] = {}  # by the folder that the names are relative to
        self._anywhere = FileNames(())  # by the last part of the path

    def find(
        self, folder: Path, name: object, where: str, stem: str | None = None, name_is_shared: bool = False
    ) -> Path:
        """Path of an image.

        Args:
            folder: What ``name`` is relative to.
            name: As the annotation has it.
            where: For messages.
            stem: Name of the annotation file without its ending, where it has one image.
            name_is_shared: Whether other annotation files have the same name, as they do where one was copied; then
                the stem counts first.

        Raises:
            ValueError: If no file comes into question and ``name`` is no path inside the source.
        """
        try:
            path = resolve_inside(self.src, folder, name, where)
        except ValueError:
            path = None
        by_stem = (self._inside_of(folder, stem) or self._in_source(stem, True)) if name_is_shared else None
        if path is not None and path.is_file() and by_stem in (None, path):
            self._found.add(path)
            return path
        # (With an annotation file for each image, the image may be in another folder, but a name that has become wrong
        # may be that of another image in another folder.)
        for other in (
            by_stem,
            self._inside_of(folder, name),
            self._inside_of(self.src, name, with_folders=stem is not None),
            self._inside_of(folder, stem),
            self._in_source(name, stem is not None),
            self._in_source(stem, True),
        ):
            if other is not None:
                self._note(name, other, where)
                self._found.add(other)
                return other
        return resolve_inside(self.src, folder, name, where) if path is None else path

    def find_listed(self, folders: Sequence[Path], names: Sequence[object], where: str) -> list[Path | ValueError]:
        """Paths of the images that one annotation file lists.

        Args:
            folders: What the names are relative to: the first one that has such a file.
            names: As the annotation file has them.
            where: The annotation file.

        Returns:
            For each name its path, which need not exist, or why there can be none.
        """
        found = [self._exact(folders, name, where) for name in names]
        lost = [not isinstance(path, Path) or not path.is_file() for path in found]
        for folder in folders if any(lost) else ():
            others = match_names(names, self._relative(folder))
            for i, name in enumerate(names):
                if lost[i] and isinstance(name, str) and name in others:
                    found[i], lost[i] = Path(os.path.normpath(folder)) / others[name], False
                    self._note(name, found[i], where)
        self._found.update(path for path in found if isinstance(path, Path))
        return found

    def _exact(self, folders: Sequence[Path], name: object, where: str) -> Path | ValueError:
        try:
            paths = [resolve_inside(self.src, folder, name, where) for folder in folders]
        except ValueError as error:
            return error
        return next((path for path in paths if path.is_file()), paths[-1])

    def _in_source(self, name: object, anywhere: bool) -> Path | None:
        """The only file that a name can mean: its path in the source, or, of a bare name, anywhere in it."""
        path = self._inside_of(self.src, name)
        if path is not None:
            return path
        bare = isinstance(name, str) and not set('/\\') & set(name)
        file = self._anywhere.find(name) if anywhere and bare else None
        return None if file is None else next(path for path in self._files if path.name == file)

    def _inside_of(self, folder: Path, name: object, with_folders: bool = False) -> Path | None:
        """The only file of a folder that a name can mean; ``with_folders`` if the name has a folder, too."""
        folder = Path(os.path.normpath(folder))
        if folder not in self._inside:
            self._inside[folder] = FileNames(self._relative(folder))
        file = self._inside[folder].find(name)
        return None if file is None or (with_folders and '/' not in file) else folder / file

    def _relative(self, folder: Path) -> list[str]:
        """Image files below a folder, relative to it."""
        if self._files is None:
            self._files = [Path(os.path.normpath(path)) for path in find_source_files(self.src, self._seen)]
            self._anywhere = FileNames(path.name for path in self._files)
        folder = Path(os.path.normpath(folder))
        return [path.relative_to(folder).as_posix() for path in self._files if path.is_relative_to(folder)]

    def _note(self, name: object, path: Path, where: str) -> None:
        self._others.append(f'{where}: {name!r} is {path.relative_to(self.src)}')

    def report(self, report: ConversionReport, folder: Path | None = None) -> None:
        """Note the images that have another name than their annotations say, and those of no annotation file.

        Args:
            report: Takes the notes.
            folder: Where every image should have an annotation; None if images without one mean nothing.
        """
        names = [] if folder is None else self._relative(folder)
        report.notes += [note for note in self._seen.notes if note not in report.notes]
        if self._others:
            report.notes.append(
                f'{len(self._others)} images have another name than their annotations say, '
                f'the first: {self._others[0]}'
            )
        without = [
            path for path in (Path(os.path.normpath(folder), name) for name in names) if path not in self._found
        ]
        if without:
            report.notes.append(
                f'{len(without)} images belong to no annotation file and were left out, the first: {without[0]}'
            )
