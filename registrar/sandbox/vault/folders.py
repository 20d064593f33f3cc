"""Folders, which Vault has none of: the names below a prefix, from keys that are only paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

Paths = Callable[[str, str], Iterable[str]]  # the keys from the first up to the second, in order


def children(paths: Paths, folder: str, after: str = "") -> Iterator[str]:
    """The names in a folder beyond `after`, folders with a slash; each costs one seek, whatever a folder holds."""
    end = folder[:-1] + "0" if folder else "\U0010ffff"  # "0" follows "/"
    start = folder + after
    while True:
        for path in paths(start, end):
            name, slash, _ = path[len(folder) :].partition("/")
            if name + slash > after:
                yield name + slash
            if slash:
                start = f"{folder}{name}0"
                break
        else:
            return


def descendants(paths: Paths, folder: str) -> Iterator[str]:
    """All keys below a folder in the order of Vault's SCAN: its own, then folder by folder, the last one first."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for name in children(paths, here):
            if name.endswith("/"):
                waiting.append(here + name)
            else:
                yield (here + name)[len(folder) :]
