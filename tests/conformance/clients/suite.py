"""The frame of both Python clients: a case in by JSON, its facts out by JSON."""

import hashlib
import json
import sys

CASES = {}


def case(function):
    """Registers a case; the suite finds it by this decorator."""
    CASES[function.__name__] = function
    return function


class Scene:
    """Where one case plays: the server, a folder, and the facts noted so far."""

    def __init__(self, request):
        self.server = request["server"]
        self.dir = request["dir"]
        self.facts = {}

    def path(self, name):
        return f"{self.dir}/{name}"

    def note(self, name, value):
        """Notes what can be compared: text, numbers, booleans, lists; long bytes by hash."""
        self.facts[name] = plain(value)


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        if len(value) > 4096:
            return f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()}"
        return repr(bytes(value))
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return repr(value)


def noise(length):
    """Bytes that look random and are the same every time."""
    return hashlib.shake_128(b"noise").digest(length)


def main(play):
    request = json.load(sys.stdin)
    scene = Scene(request)
    play(CASES[request["case"]], scene)
    json.dump(scene.facts, sys.stdout)
