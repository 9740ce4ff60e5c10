"""Write requirements.lock: what requirements.txt resolves to here, every package with the SHA-256 of its wheel, by pip's own report.

    python .ci/lock.py

Nothing is installed. The hashes are those of this platform's wheels: the lock says which platform that is.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# What `make quick` and `make compare` run on, all of it, with hashes: made by `make lock` with pip's own report, of
# requirements.txt, for {platform}, Python {python}. To install nothing else:
#   python -m pip install --require-hashes --only-binary :all: -r requirements.lock
# torch's {build} build is on PyTorch's own index of wheels (--extra-index-url); another build has another hash.
"""


def resolve(requirements: Path) -> list[dict]:
    """What pip would install into an empty environment, as its report has it."""
    words = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", "-r", str(requirements)]
    told = subprocess.run([sys.executable, "-m", "pip", *words], check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(told)["install"]


def to_lines(installed: list[dict]) -> list[str]:
    """``name==version --hash=sha256:...``, by name."""
    found = {}
    for package in installed:
        name = re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower()
        digest = package["download_info"]["archive_info"]["hashes"]["sha256"]
        found[name] = f"{name}=={package['metadata']['version']} \\\n    --hash=sha256:{digest}"
    return [found[name] for name in sorted(found)]


def main() -> None:
    installed = resolve(ROOT / "requirements.txt")
    (torch,) = [package["metadata"]["version"] for package in installed if package["metadata"]["name"] == "torch"]
    build = torch.partition("+")[2] or "default"
    head = HEAD.format(
        platform=sysconfig.get_platform(), python=".".join(platform.python_version_tuple()[:2]), build=build
    )
    (ROOT / "requirements.lock").write_text(head + "\n".join(to_lines(installed)) + "\n")


if __name__ == "__main__":
    main()
