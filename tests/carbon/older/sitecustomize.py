"""What Python 3.12 has removed and Graphite 1.1.10, its newest, still asks for; on PYTHONPATH where it is built and run."""

from __future__ import annotations

import configparser
import sys
import types

if sys.version_info >= (3, 12):
    configparser.RawConfigParser.readfp = configparser.RawConfigParser.read_file
    configparser.SafeConfigParser = configparser.ConfigParser
    sys.modules["imp"] = types.ModuleType("imp")  # for plug-ins, of which the tests have none
