#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fetches the pinned wheels of one requirement list by hash and unpacks them side by side (tools/bootstrap).

usage: wheels.py LIST CACHE SITE

LIST holds lines `name==version --hash=sha256:HEX  # N bytes`. pip's own configuration decides where wheels come from;
nothing is installed: each wheel is unpacked into SITE without its dependencies, so only what LIST names is there.
A wheel that is complete in SITE is left alone; another version of it is removed first.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LINE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) --hash=sha256:([0-9a-f]{64})(?:\s+# (\d+) bytes)?$")
MARKER = "UNPACKED-SHA256"
LARGE_BYTES = 100_000_000


class Wheel:
    def __init__(self, name, version, digest, size):
        self.name, self.version, self.digest, self.size = name, version, digest, int(size or 0)
        self.stem = re.sub(r"[-_.]+", "_", name).lower()

    def dist_infos(self, site):
        """The metadata folders in SITE of this distribution, of any version."""
        for entry in site.glob("*.dist-info"):
            if re.sub(r"[-_.]+", "_", entry.name.split("-")[0]).lower() == self.stem:
                yield entry

    def is_unpacked(self, site):
        found = list(self.dist_infos(site))
        marker = found[0] / MARKER if len(found) == 1 else None
        return bool(marker) and marker.exists() and marker.read_text().strip() == self.digest

    def cached(self, cache):
        """The file in CACHE with this wheel's name and hash, if it is there; one with a wrong hash is removed."""
        for path in sorted(cache.glob("*.whl")):
            name, version = path.name.split("-")[:2]
            if re.sub(r"[-_.]+", "_", name).lower() != self.stem or version != self.version:
                continue
            if sha256(path) == self.digest:
                return path
            print(f"bootstrap: {path} has a wrong hash, fetching it again", flush=True)
            path.unlink()
        return None


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_list(path):
    wheels = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.match(line.strip())
        if not match:
            sys.exit(f"{path}:{number}: not `name==version --hash=sha256:HEX  # N bytes`: {line}")
        wheels.append(Wheel(*match.groups()))
    return wheels


def megabytes(size):
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def download(wheels, cache):
    for wheel in wheels:
        print(f"bootstrap:   {wheel.name} {wheel.version}: {megabytes(wheel.size)}")
    total = sum(wheel.size for wheel in wheels)
    print(f"bootstrap: downloading {len(wheels)} wheels, {megabytes(total)}", flush=True)
    # pip moves files into CACHE when a whole call is done: the big ones go one by one, so that a broken-off run
    # need not fetch them again.
    large = [[wheel] for wheel in wheels if wheel.size >= LARGE_BYTES]
    small = [wheel for wheel in wheels if wheel.size < LARGE_BYTES]
    for batch in large + ([small] if small else []):
        pip_download(batch, cache)


def pip_download(wheels, cache):
    with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=cache) as list_file:
        for wheel in wheels:
            list_file.write(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.digest}\n")
        list_file.flush()
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps",
                   "--only-binary", ":all:", "--require-hashes", "-d", str(cache), "-r", list_file.name]
        if subprocess.run(command, check=False).returncode != 0:
            sys.exit(f"bootstrap: pip could not fetch {', '.join(wheel.name for wheel in wheels)} (see above)")


def remove(dist_info, site):
    record = dist_info / "RECORD"
    if record.exists():
        for line in record.read_text().splitlines():
            path = (site / line.rsplit(",", 2)[0].strip('"')).resolve()
            if site.resolve() in path.parents:
                path.unlink(missing_ok=True)
    for path in dist_info.glob("*"):
        if path.is_file():
            path.unlink()
    for folder in sorted(dist_info.glob("**/"), reverse=True):
        folder.rmdir()


def unpack(wheel, path, site):
    for dist_info in list(wheel.dist_infos(site)):
        remove(dist_info, site)
    dist_info = None
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        print(f"bootstrap: unpacking {wheel.name} {wheel.version} "
              f"({len(entries)} files, {megabytes(sum(entry.file_size for entry in entries))})", flush=True)
        for entry in entries:
            parts = entry.filename.split("/")
            if parts[0].endswith(".data"):
                if parts[1] not in ("purelib", "platlib"):
                    continue
                entry.filename = "/".join(parts[2:])
            elif parts[0].endswith(".dist-info"):
                dist_info = site / parts[0]
            target = Path(archive.extract(entry, site))
            if mode := (entry.external_attr >> 16) & 0o777:
                target.chmod(mode | 0o600)
    (dist_info / MARKER).write_text(wheel.digest + "\n")  # last: its absence says that the unpacking was cut short


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    wheels, cache, site = read_list(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
    cache.mkdir(parents=True, exist_ok=True)
    site.mkdir(parents=True, exist_ok=True)
    wanted = [wheel for wheel in wheels if not wheel.is_unpacked(site)]
    files = {wheel.name: wheel.cached(cache) for wheel in wanted}
    absent = [wheel for wheel in wanted if not files[wheel.name]]
    if absent:
        download(absent, cache)
        files.update({wheel.name: wheel.cached(cache) for wheel in absent})
    for wheel in wanted:
        if not files[wheel.name]:
            sys.exit(f"bootstrap: {wheel.name} {wheel.version} is not in {cache} after the download")
        unpack(wheel, files[wheel.name], site)


if __name__ == "__main__":
    main()
