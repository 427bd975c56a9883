"""Make the Python modules of our `.proto` files: `make protobuf`, after a change to one of them.

protoc's own Python output demands a runtime that is not older than itself, and so newer than what
`pyproject.toml` allows. What is written here instead is the file's descriptor, which protoc has
compiled, and the runtime's public functions that make classes of it; the types beside it are
protoc's. The reasons are in docs/adr/0005-descriptors-not-protoc-s-python.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

CHECKOUT: Final = Path(__file__).parents[1]
HEAD: Final = '''"""Made from `{proto}` by `make protobuf`: change that file, not this one."""

from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass

DESCRIPTOR = Default().AddSerializedFile(
    bytes.fromhex(
{digits}
    )
)
'''


def protos() -> list[Path]:
    """Find the `.proto` files, relative to the checkout."""
    return sorted(path.relative_to(CHECKOUT) for path in CHECKOUT.glob("sonda/**/*.proto"))


def make(into: Path) -> list[Path]:
    """Write a module and its types for every `.proto` file, at its place below the folder *into*.

    Returns their paths relative to that folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "descriptors"
        _protoc(f"--descriptor_set_out={compiled}", f"--pyi_out={into}")
        described = FileDescriptorSet.FromString(compiled.read_bytes())
    return [path for file in described.file for path in _write(file, into)]


def _protoc(*outputs: str) -> None:
    names = [path.as_posix() for path in protos()]
    if status := protoc.main(["protoc", f"--proto_path={CHECKOUT}", *outputs, *names]):
        sys.exit(f"protoc ended with {status}")


def _write(file: FileDescriptorProto, into: Path) -> Iterator[Path]:
    module = Path(file.name.removesuffix(".proto") + "_pb2.py")
    digits = "\n".join(f'        "{line}"' for line in wrap(file.SerializeToString().hex(), 88))
    classes = "".join(
        f'{message.name} = GetMessageClass(DESCRIPTOR.message_types_by_name["{message.name}"])\n'
        for message in file.message_type
    )
    text = HEAD.format(proto=Path(file.name).name, digits=digits) + classes
    (into / module).write_text(text, encoding="utf-8")
    yield module
    yield module.with_suffix(".pyi")


if __name__ == "__main__":
    for made in make(CHECKOUT):
        print(made)
