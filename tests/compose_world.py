"""docker-compose.yml as data, and what it describes on this machine: its broker by its own script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import servers
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
BROKER_USERS = ("bridge", "dashboard", "alerts", "chargers", "health")


def wait_for(
    is_true: Callable[[], object], explain: Callable[[], str] = str, seconds: float = 15.0, every_s: float = 0.05
) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, explain()
        time.sleep(every_s)


@contextmanager
def broker() -> Iterator[tuple[int, Path]]:
    """The service's own script on this machine's mosquitto, on a port and in a folder of our own, where
    ``mqtt_<user>`` holds the password ``password-of-<user>``."""
    with tempfile.TemporaryDirectory(prefix="chargewatch-") as name:
        folder, port = Path(name), servers.free_port()
        for user in BROKER_USERS:
            (folder / f"mqtt_{user}").write_text(f"password-of-{user}")
        options: dict[str, Any] = {}
        if os.geteuid() == 0:  # mosquitto gives up root, and then could not read what root wrote
            options = {"user": "mosquitto", "group": "mosquitto", "extra_groups": []}
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "mosquitto", "mosquitto")
        command = ["sh", "-euc", _broker_script(folder, port)]
        environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, **options)
        try:
            wait_for(lambda: servers._answers(port), lambda: (folder / "log").read_text())
            yield port, folder
        finally:
            process.terminate()
            process.wait(10)


def _broker_script(folder: Path, port: int) -> str:
    places = {
        "$$": "$",
        "/run/secrets": str(folder),
        "/tmp/": f"{folder}/",
        "/mosquitto/data/": f"{folder}/",
        "listener 1883": f"listener {port} 127.0.0.1",
    }
    script = SERVICES["mosquitto"]["command"][-1]
    return re.sub("|".join(map(re.escape, places)), lambda match: places[match[0]], script)
