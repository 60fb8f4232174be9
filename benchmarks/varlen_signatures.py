"""Read off torch's wheels what xf2sdpa/compat/kernels.py calls by name, and write it down for the tests.

    pip download --no-deps -d wheels torch==2.12.0   # for each version; nothing is installed
    python benchmarks/varlen_signatures.py wheels/*.whl

Of each wheel, without importing it: the parameters of `torch.nn.attention.varlen.varlen_attn`, what that function hands
on to `aten::_flash_attention_forward`, the operator's own schema, and what its backward is given. The result is
tests/compat/varlen_signatures.json, by minor version; tests/compat/test_compat_signatures.py binds our calls to it.
Signatures only: nothing here runs on a GPU.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import zipfile
from pathlib import Path

OUTPUT = Path(__file__).resolve().parents[1] / "tests" / "compat" / "varlen_signatures.json"
VARLEN = "torch/nn/attention/varlen.py"
SCHEMAS = "torchgen/packaged/ATen/native/native_functions.yaml"
DERIVATIVES = "torchgen/packaged/autograd/derivatives.yaml"
OPERATOR = "_flash_attention_forward"


def facts(wheel: Path) -> dict[str, str | None]:
    """What one wheel says; None for what it does not have."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        varlen, schemas, derivatives = (
            archive.read(name).decode() if name in names else "" for name in (VARLEN, SCHEMAS, DERIVATIVES)
        )
    module = ast.parse(varlen)
    schema = re.search(rf"^- func: ({OPERATOR}\(.*)$", schemas, re.MULTILINE)
    derivative = rf"^- name: {OPERATOR}\([^\n]*\n[^\n]*\n  query, key, value: \w+\((.*)\)$"
    backward = re.search(derivative, derivatives, re.MULTILINE)
    return {
        "wheel": wheel.name.split("-cp")[0],
        "varlen_attn": parameters(module),
        "handed_on": handed_on(module),
        "operator": schema and schema[1],
        "backward": backward and backward[1],
    }


def parameters(module: ast.Module) -> str | None:
    """The parameters of `varlen_attn` with their defaults, without annotations."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name == "varlen_attn":
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
            return ast.unparse(node.args)
    return None


def handed_on(module: ast.Module) -> str | None:
    """The arguments of the first call of the operator."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == OPERATOR:
            return ", ".join([ast.unparse(x) for x in node.args] + [ast.unparse(x) for x in node.keywords])
    return None


def minor(wheel: Path) -> tuple[int, int]:
    found = re.match(r"torch-(\d+)\.(\d+)\.", wheel.name)
    if found is None:
        raise SystemExit(f"{wheel} is not a wheel of torch")
    return int(found[1]), int(found[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="which file; versions it has stay in it")
    options = parser.parse_args()
    known = json.loads(options.output.read_text("utf-8")) if options.output.exists() else {}
    table = {tuple(map(int, version.split("."))): entry for version, entry in known.items()}
    table |= {minor(wheel): facts(wheel) for wheel in options.wheels}
    text = json.dumps({".".join(map(str, version)): table[version] for version in sorted(table)}, indent=1)
    options.output.write_text(text + "\n", encoding="utf-8")
    print(f"{len(table)} versions in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
