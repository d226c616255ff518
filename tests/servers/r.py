"""R, where the system lacks it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.servers.debian import unpacked

_RSCRIPT = """\
#!/bin/sh
export RHOME={home} LD_LIBRARY_PATH={libraries}
exec {root}/usr/bin/Rscript "$@"
"""


def path_with_r() -> str:
    """A PATH that leads to ``Rscript``. Skips the test where there is no way to have it."""
    if shutil.which("Rscript"):
        return os.environ["PATH"]
    root = unpacked("r-base-core")
    folder = root / "with-paths"
    if not (folder / "Rscript").exists():
        _wrap(root, folder)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _wrap(root: Path, folder: Path) -> None:
    """Debian's R has its own place written into it."""
    home = root / "usr" / "lib" / "R"
    script = home / "bin" / "R"
    script.write_text(script.read_text().replace("/usr/lib/R", str(home)).replace("/usr/share/R", str(root / "usr/share/R")))
    for link in (home / "etc").iterdir():
        if link.is_symlink() and not link.exists():  # it leads to /etc/R
            target = root / str(link.readlink()).lstrip("/")
            link.unlink()
            link.symlink_to(target if target.exists() else home / "etc" / "Renviron.ucf")
    libraries = {str(path.parent) for path in root.rglob("*.so*") if "usr/lib/R/library" not in str(path)}
    folder.mkdir(exist_ok=True)
    made = folder / f".{os.getpid()}"
    made.write_text(_RSCRIPT.format(home=home, root=root, libraries=":".join(sorted(libraries))))
    made.chmod(0o755)
    made.rename(folder / "Rscript")
