"""Serves graphite-web's render API, in Graphite's own environment: web.py <host> <port>.

What it looks at stands in the module `settings_of_the_test`, in the directory where it is started.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

sys.path.insert(0, str(Path.cwd()))
os.environ["DJANGO_SETTINGS_MODULE"] = "graphite.settings"
os.environ["GRAPHITE_SETTINGS_MODULE"] = "settings_of_the_test"

try:
    import cairocffi  # noqa: F401
except OSError:  # a machine without Cairo, which draws pictures; numbers come without it
    sys.modules["cairocffi"] = types.ModuleType("cairocffi")

from graphite.wsgi import application


class Quiet(WSGIRequestHandler):
    """No name look-ups, no line for each request."""

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


make_server(sys.argv[1], int(sys.argv[2]), application, handler_class=Quiet).serve_forever()
