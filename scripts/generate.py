"""Writes all generated files anew: `make generate`. With --check: are the committed ones current?

1. The Python code of proto/: each package goes into the distribution that owns it.
2. typings/google/rpc, from the protos inside googleapis-common-protos: they come without types.
3. The sync client from the async one, and the generated parts of the docs, each by its own script.

Generators write into a staging directory first, so that one that fails leaves the tree as it was,
and a file whose content is the same keeps its time.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TOOLS: Final = ROOT / ".tools" / "proto" / "bin"
# protoc finds the plugins of mypy-protobuf on the PATH.
ENVIRONMENT: Final = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}

# Directory of a package under proto/ -> the import root that its code is generated into.
# The code of memplane.storage lives inside the gateway and imports memplane.v1 from the client.
PACKAGES: Final = {
    "memplane/v1": Path("clients/python"),
    "memplane/storage": Path("gateway/memplane_gateway/generated"),
}
STORAGE_IMPORT: Final = (
    "from memplane.storage.",
    "from memplane_gateway.generated.memplane.storage.",
)

GOOGLE_RPC: Final = ("code", "error_details", "status")
TYPINGS: Final = Path("typings")

# Run after the stubs, where they exist.
GENERATORS: Final = (
    "scripts/generate_sync.py",
    "scripts/generate_docs.py",
    "scripts/generate_deploy.py",
)


def run(*command: str | Path) -> None:
    """Runs a tool of the proto environment in the root of the tree, or ends this program."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=ENVIRONMENT, check=False)
    if done.returncode:
        sys.exit(f"failed ({done.returncode}): {' '.join(map(str, command))}")


def protoc(root: str | Path, *arguments: str | Path) -> None:
    """Runs the pinned protoc, whose Python plugins are built in (buf does not reach grpc_python)."""
    run(TOOLS / "python", "-m", "grpc_tools.protoc", f"--proto_path={root}", *arguments)


def is_stub(path: Path) -> bool:
    """Tells whether a file is generated from a proto; the `__init__.py` beside them are not."""
    return path.stem.endswith(("_pb2", "_pb2_grpc")) and path.suffix in {".py", ".pyi"}


def publish(staged: Path, target: Path) -> None:
    """Makes the stubs under `target` those under `staged`, and touches only what differs."""
    made = {path.relative_to(staged) for path in staged.rglob("*") if is_stub(path)}
    for path in sorted(made):
        destination = target / path
        if not destination.exists() or not filecmp.cmp(staged / path, destination, shallow=False):
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(staged / path, destination)
    for old in sorted(target.rglob("*")):
        if is_stub(old) and old.relative_to(target) not in made:
            old.unlink()


def generate_protos(staging: Path) -> None:
    """Writes the messages, stubs and types of every package in proto/."""
    for package, target in PACKAGES.items():
        staged = staging / target
        staged.mkdir(parents=True)
        protos = sorted((ROOT / "proto" / package).rglob("*.proto"))
        protoc(
            ROOT / "proto",
            *(f"--{plugin}_out={staged}" for plugin in ("python", "grpc_python")),
            *(f"--{plugin}_out=quiet:{staged}" for plugin in ("mypy", "mypy_grpc")),
            *protos,
        )
        for path in staged.rglob("*.py*"):
            # A package without services gets empty service files.
            if "_pb2_grpc" in path.name and not has_services(path, staged):
                path.unlink()
                continue
            text = path.read_text(encoding="utf-8")
            if package == "memplane/storage":
                path.write_text(text.replace(*STORAGE_IMPORT), encoding="utf-8")
        publish(staged / package, ROOT / target / package)


def has_services(stub: Path, staged: Path) -> bool:
    """Tells whether the proto file that a `_pb2_grpc` file was made from defines a service."""
    name = stub.relative_to(staged).with_name(stub.name.split("_pb2_grpc")[0] + ".proto")
    lines = (ROOT / "proto" / name).read_text(encoding="utf-8").splitlines()
    return any(line.startswith("service ") for line in lines)


def generate_typings(staging: Path) -> None:
    """Writes the types of the error details that gRPC statuses carry."""
    staged = staging / TYPINGS
    staged.mkdir(parents=True)
    packages = subprocess.run(
        [TOOLS / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
    protos = (f"google/rpc/{name}.proto" for name in GOOGLE_RPC)
    protoc(packages, f"--mypy_out=quiet:{staged}", *protos)
    publish(staged / "google" / "rpc", ROOT / TYPINGS / "google" / "rpc")


def generate() -> None:
    """Writes every generated file of this tree."""
    with tempfile.TemporaryDirectory(prefix="memplane-generate-") as staging:
        generate_protos(Path(staging))
        generate_typings(Path(staging))
    for script in GENERATORS:
        if (ROOT / script).exists():
            run(sys.executable, script)


def snapshot(tree: Path) -> dict[Path, bytes]:
    """Reads all files of a tree, without those that running Python leaves behind."""
    return {
        path.relative_to(tree): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and not {"__pycache__", ".tools", ".venv"} & set(path.parts)
    }


def check() -> int:
    """Generates in a copy of the tree and names the files in which the copy then differs."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    with tempfile.TemporaryDirectory(prefix="memplane-check-") as directory:
        copy = Path(directory).resolve() / "tree"
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        for environment in (".tools", ".venv"):
            (copy / environment).symlink_to(ROOT / environment)
        before = snapshot(copy)
        done = subprocess.run([sys.executable, "scripts/generate.py"], cwd=copy, check=False)
        after = snapshot(copy)
    stale = sorted(path for path in before | after if before.get(path) != after.get(path))
    for path in stale:
        print(f"not as it would be generated: {path}")
    if stale:
        print("'make generate' mends it")
    return 1 if stale or done.returncode else 0


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Write all generated files anew.")
    parser.add_argument("--check", action="store_true", help="change nothing, name what differs")
    if parser.parse_args().check:
        return check()
    generate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
