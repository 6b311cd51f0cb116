"""A file server in one namespace and a download by an unmodified curl in another."""

import hashlib
import os
import random
import sys

from . import wait


class FileServer:
    """Serves one file of random content on every address of the namespace, IPv4 and IPv6."""

    PORT = 8080

    def __init__(self, space, megabytes, seed=1):
        folder = space.lab.logs / f"{space.name}-files"
        folder.mkdir(exist_ok=True)
        path = folder / "file"
        content = random.Random(seed).randbytes(megabytes * 1_000_000)
        path.write_bytes(content)
        self.size, self.sha256 = len(content), hashlib.sha256(content).hexdigest()
        self._process = space.spawn("files", sys.executable, "-m", "http.server", self.PORT,
                                    "--bind", "::", "--directory", folder)
        space.wait_listening(self.PORT)

    def stop(self):
        self._process.stop()


class Download:
    def __init__(self, space, server, host):
        self._server = server
        serial = sum(1 for _ in space.lab.logs.glob(f"{space.name}-curl*.log"))
        self.path = space.lab.logs / f"{space.name}-download{serial}"
        # Unbuffered output so that the file's size shows the progress.
        self._curl = space.spawn(f"curl{serial}", "curl", "-sS", "--no-buffer", "--max-time", 170,
                                 "-o", self.path, f"http://{host}:{server.PORT}/file")

    def received(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def running(self):
        return self._curl.running()

    def wait_bytes(self, count, timeout=30):
        def there():
            if not self.running() and self.received() < count:
                raise wait.TimedOut(f"curl ended early: {self._curl.log()}")
            return self.received() >= count
        wait.until(there, timeout, f"{count} bytes of the download")

    def finish(self, timeout=170):
        """True when the whole file arrived with the right SHA-256; the copy is removed."""
        status = self._curl.wait(timeout)
        digest = hashlib.sha256()
        if self.path.exists():
            with open(self.path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            os.unlink(self.path)
        return status == 0 and digest.hexdigest() == self._server.sha256
