"""Settings of all components: what kinds of values there are, where they are read from, who goes first.

Configuration files are those of the report (chapter 4): `NAME value` lines in `/etc/copilot`, or in the directory
that `COPILOT_CONFIG` names. A value of the environment goes before one of the component's own file, that before one
of `Copilot.conf`, that before the default. An empty value, wherever it stands, is no value.
"""

from copilot.config.load import COMMON_FILE, DEFAULT_DIRECTORY, DIRECTORY_KEY, Loaded, load, locate, resolve
from copilot.config.resource import KeptResource, keep_resource
from copilot.config.setting import Program, Setting, Settings, setting, settings

__all__ = [
    "COMMON_FILE",
    "DEFAULT_DIRECTORY",
    "DIRECTORY_KEY",
    "KeptResource",
    "Loaded",
    "Program",
    "Setting",
    "Settings",
    "keep_resource",
    "load",
    "locate",
    "resolve",
    "setting",
    "settings",
]
