"""Compile the kernel for CUDA devices that are not there; print what came out, a line of JSON each.

It runs in a process of its own, because Triton must be imported without the interpreter.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from imblearn_eos.neighbors import _triton

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def compile_for(capability, variant):
    """Compile as the launcher does on a device, with pointers as torch aligns them."""
    kernel = _triton._keep_smallest
    constants = _triton.constants(variant)
    kinds = {"kept": "*i32", "n_tiles": "i32", "n_steps": "i32"}
    signature = {
        name: "constexpr" if name in constants else kinds.get(name, "*fp32")
        for name in kernel.arg_names
    }
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, kind in enumerate(signature.values())
        if kind.startswith("*")
    }
    source = ASTSource(kernel, signature, constants, aligned)
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=_triton.options(variant))


def resources(cubin):
    """Return registers, bytes on the stack, which is for spills, and the instructions."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        used, code = (
            subprocess.run(
                [CUOBJDUMP, what, file.name], capture_output=True, text=True, check=True
            ).stdout
            for what in ("-res-usage", "-sass")
        )
    numbers = {
        name: int(re.search(rf"{name}:(\d+)", used)[1]) for name in ("REG", "STACK", "LOCAL")
    }
    products = re.findall(r"\b(HMMA|HGMMA|UTC\w*MMA|FFMA)\b", code)
    return numbers | {name: products.count(name) for name in set(products)}


if __name__ == "__main__":
    os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp()
    capabilities, widths = json.loads(sys.argv[1])
    for capability in capabilities:
        for width in widths:
            compiled = compile_for(capability, _triton.variant_for(width))
            found = resources(compiled.asm["cubin"]) | {
                "capability": capability,
                "width": width,
                "shared": compiled.metadata.shared,
                "tf32": bool(
                    re.search(r"(wgmma|mma\.sync|tcgen05\.mma)\S*tf32", compiled.asm["ptx"])
                ),
            }
            print(json.dumps(found), flush=True)
