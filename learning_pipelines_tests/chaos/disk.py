"""A disk of its own for one home, small enough to be filled: an ext4 file system in a file, mounted as root.

Belongs here: mounting, filling, freeing. Not here: when it is filled (blows.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from learning_pipelines.storage.embedded_place import make_open_folder, place_of

_KEPT_FREE = 4096  # nothing that anybody could write into


class Disk:
    """`root` is a folder on a disk of `megabytes`; without the right to mount it is a plain folder, and `limited` says so."""

    def __init__(self, megabytes: int) -> None:
        self._outside = Path(tempfile.mkdtemp(prefix="learning-chaos-", dir="/var/tmp"))
        self._outside.chmod(0o755)
        self.root = self._outside / "disk"
        self.root.mkdir()
        self._bound: list[Path] = []
        self.limited = os.geteuid() == 0 and self._mount(megabytes)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def outside(self) -> Path:
        """A folder beside the disk, which never fills up: for what belongs to the harness."""
        return self._outside

    def hold_database(self) -> None:
        """As root the data of the embedded server lie below /var/lib: this puts them on the same disk as the home."""
        base = place_of(self.home).base
        if not self.limited or base.is_relative_to(self.home):
            return
        inside = self.root / "postgres"
        make_open_folder(inside)
        make_open_folder(base.parent)
        make_open_folder(base)
        subprocess.run(["mount", "--bind", inside, base], check=True)
        self._bound.append(base)

    def fill(self) -> int:
        """Leaves no byte free; returns how many it took."""
        taken = shutil.disk_usage(self.root).free
        with self._ballast.open("wb") as file:
            size = taken
            while size > _KEPT_FREE:
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                    break
                except OSError:
                    size -= max(size // 50, _KEPT_FREE)
            try:
                os.lseek(file.fileno(), 0, os.SEEK_END)
                while True:
                    os.write(file.fileno(), b"\0" * _KEPT_FREE)
            except OSError:
                pass  # full: what was wanted
        return taken

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmounts and deletes everything. Whatever worked on it has ended."""
        base = place_of(self.home).base
        for folder in [*self._bound, *([self.root] if self.limited else [])]:
            subprocess.run(["umount", "--lazy", folder], check=False)
        if base.parent.name == "learning_pipelines" and base.is_dir():
            shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(self._outside, ignore_errors=True)

    @property
    def _ballast(self) -> Path:
        return self.root / "ballast"

    def _mount(self, megabytes: int) -> bool:
        image = self._outside / "disk.img"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], capture_output=True, check=False)
        return made.returncode == 0 and subprocess.run(["mount", "-o", "loop", image, self.root], capture_output=True, check=False).returncode == 0
