"""Where a secret may stand besides the settings themselves: in a file of its own, or in a credential of systemd.

`AGENT_JABBER_PASSWORD_FILE` names a file that holds nothing but the password. A credential (systemd.exec(5),
`LoadCredential=`) is a file of the key's name in `$CREDENTIALS_DIRECTORY`, which the service's user alone can read.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

FILE_SUFFIX = "_FILE"
CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
MAX_SECRET_BYTES = 4096
# Keys of plug-ins that end so hold secrets as well; nobody here knows them otherwise.
SECRET_ENDINGS = ("_PASSWORD", "_SECRET", "_TOKEN")


_read: set[Path] = set()


class Unreadable(Exception):
    """A secret's file cannot be used; the text says why, and nothing of what is in it."""


def credential(key: str, environ: Mapping[str, str]) -> Path | None:
    """The credential of this name, if systemd has given us one."""
    directory = environ.get(CREDENTIALS_DIRECTORY)
    if not directory or not (path := Path(directory) / key).exists():
        return None
    return path


def read_secret(path: Path) -> tuple[str, bool]:
    """What the file holds, without the end of its line, and whether everybody may read or change it. Raises `Unreadable`."""
    _read.add(path)
    try:
        with path.open("rb") as file:
            held, mode = file.read(MAX_SECRET_BYTES + 1), path.stat().st_mode
        text = held.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{path}: expected UTF-8 text") from None
    if not text or "\n" in text or len(held) > MAX_SECRET_BYTES:
        raise Unreadable(f"{path}: expected one line of at most {MAX_SECRET_BYTES} bytes")
    return text, bool(mode & (stat.S_IROTH | stat.S_IWOTH))


def files_of_secrets() -> tuple[Path, ...]:
    """The files that this process has read secrets from: who hides something from others hides these as well."""
    return tuple(_read)


def secret_keys(names: Iterable[str], declared: Collection[str]) -> list[str]:
    """Those of `names` whose values are secrets: `declared` as such, or called so."""
    return [name for name in names if name in declared or name.endswith(SECRET_ENDINGS)]
