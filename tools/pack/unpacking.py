"""The first thing that runs of a program in one file: it is the `__main__.py` there.

Compiled modules cannot be loaded out of an archive, so all is unpacked once into the user's cache, into a directory that bears
the hash of its content, which appears complete or not at all. What is there already is used if nobody else could have
written it. Everything then happens in this process: the archive is no longer needed.

For Python 3.6 and newer, so that older ones say what they lack; it knows nothing of the rest of Co-Pilot.
"""

import importlib
import json
import os
import platform
import pwd
import shutil
import stat
import sys
import tempfile
import zipfile

MANIFEST = "manifest.json"
EVERYWHERE = "all/"
PLACE = "COPILOT_UNPACK_DIR"
WRONG = 2  # exit code: as for a setting that is wrong


class CannotRun(Exception):
    """The text says what was expected, what is there, and what to do."""


def main(archive=None):
    """Run the program. Its exit code, or 2 with a line on the error output."""
    path = archive or os.path.dirname(os.path.abspath(__file__))
    try:
        with zipfile.ZipFile(path) as file:
            manifest = json.loads(file.read(MANIFEST).decode())
            check(manifest, here())
            directory = unpacked(file, manifest, cache(manifest["name"], os.environ))
    except (CannotRun, OSError, zipfile.BadZipFile) as error:
        sys.stderr.write("{}: {}\n".format(os.path.basename(path), error))
        return WRONG
    sys.path[:] = [directory] + [one for one in sys.path if os.path.abspath(one) != os.path.abspath(path)]
    importlib.invalidate_caches()
    module, _, function = manifest["entry"].partition(":")
    return getattr(importlib.import_module(module), function)()


def here():
    """What this Python is, in the words of a manifest."""
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""  # as on Alpine
    name, _, version = libc.partition(" ")
    return {
        "implementation": sys.implementation.name,
        "python": "{}.{}".format(*sys.version_info[:2]),
        "machine": platform.machine(),
        "glibc": [int(part) for part in version.split(".")[:2]] if name == "glibc" else [],
    }


def check(manifest, found):
    """Raises CannotRun unless the program is made for what `found` says."""
    if (
        found["implementation"] == "cpython"
        and found["python"] in manifest["pythons"]
        and found["machine"] == manifest["machine"]
        and found["glibc"] >= manifest["glibc"]
    ):
        return
    wanted = "CPython {} on Linux, {}, with glibc {} or newer".format(
        " or ".join(manifest["pythons"]), manifest["machine"], ".".join(map(str, manifest["glibc"]))
    )
    glibc = "glibc " + ".".join(map(str, found["glibc"])) if found["glibc"] else "without glibc"
    there = "{} {}, {}, {}".format(found["implementation"], found["python"], found["machine"], glibc)
    raise CannotRun(
        "made for {}; this is {}. Run it with such a Python (python{} {}.pyz), or make another file where the source is: "
        "make agent.pyz PYTHONS=... MACHINE=...".format(
            wanted, there, manifest["pythons"][-1], manifest["name"]
        )
    )


def cache(name, variables):
    """Where to unpack the program of this name: a directory of its own. Raises CannotRun if no place is known."""
    if variables.get(PLACE):
        return os.path.abspath(variables[PLACE])
    for place in ("XDG_CACHE_HOME", "CACHE_DIRECTORY"):  # systemd's, with CacheDirectory=
        if variables.get(place):
            return os.path.join(os.path.abspath(variables[place].partition(":")[0]), name)
    home = variables.get("HOME")
    if not home:
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            raise CannotRun(
                "user {} has no home directory to unpack into; set {} to a directory of its own".format(
                    os.geteuid(), PLACE
                )
            ) from None
    return os.path.join(home, ".cache", name)


def unpacked(file, manifest, parent):
    """The directory with the content of `file` for this Python, in `parent`. Raises CannotRun."""
    name = "{}-{}-{}".format(
        manifest["version"], manifest["tags"][here()["python"]], manifest["content"][:32]
    )
    directory = os.path.join(parent, name)
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
        _check_owner(parent)
        if not os.path.isdir(directory):
            _unpack(file, manifest, parent, directory)
        _check_owner(directory)
        if os.statvfs(directory).f_flag & os.ST_NOEXEC:
            raise CannotRun(
                "nothing in {} can be executed (mounted noexec); set {} to a directory elsewhere".format(
                    parent, PLACE
                )
            )
    except OSError as error:
        raise CannotRun(
            "cannot be unpacked into {}: {}; make that possible, or set {} to another directory of yours".format(
                parent, error.strerror or error, PLACE
            )
        ) from error
    return directory


def _check_owner(directory):
    found = os.lstat(directory)
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or mode & 0o022:
        raise CannotRun(
            "{} must be a directory of user {} that nobody else can write to; it belongs to user {} and has mode {:04o}. Remove "
            "it, or set {} to another directory".format(directory, os.geteuid(), found.st_uid, mode, PLACE)
        )


def _unpack(file, manifest, parent, directory):
    work = tempfile.mkdtemp(prefix=".new-", dir=parent)  # 0700
    try:
        for info in file.infolist():
            for prefix in (EVERYWHERE, manifest["tags"][here()["python"]] + "/"):
                if info.filename.startswith(prefix):
                    target = os.path.join(work, info.filename[len(prefix) :])
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with file.open(info) as source, open(target, "wb") as copy:
                        shutil.copyfileobj(source, copy)
        os.sync()  # or a machine that loses its power now has a complete directory of empty files
        try:
            os.rename(work, directory)
        except OSError:
            if not os.path.isdir(directory):  # else another process was quicker
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
