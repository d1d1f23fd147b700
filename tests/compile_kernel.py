"""Compile the kernel for CUDA devices that are not there; print what came out, a line of JSON each.

It runs in a process of its own, because Triton must be imported without the interpreter.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from imblearn_eos.neighbors import _triton

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
# Shared memory answers so many bytes at once, in one wavefront.
WAVEFRONT = 128


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


def disassemble(cubin):
    """Return registers and bytes on the stack, which is for spills, and the instructions."""
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
    return numbers, re.findall(r"/\*([0-9a-f]{4,})\*/ +(.*?) *;", code)


def loop_over_tiles(code):
    """Return the instructions of the outermost loop, which is gone through for each tile."""
    loops = []
    for address, text in code:
        target = re.match(r"(?:@\S+ )?BRA.* 0x([0-9a-f]+)$", text)
        if target and int(target[1], 16) < int(address, 16):
            loops.append((int(target[1], 16), int(address, 16)))
    start, end = max(loops, key=lambda loop: loop[1] - loop[0])
    return [text for address, text in code if start <= int(address, 16) <= end]


def opcode(text):
    # What hangs on the predicate that is never true does nothing.
    return "" if text.startswith("@!PT ") else re.sub(r"^@\S+ ", "", text).split()[0]


def wavefronts(loop, conflicts):
    """Count the wavefronts of a warp for a tile on a device of capability 9.0, by their causes.

    Parameters
    ----------
    loop : list of str
        The instructions.
    conflicts : int
        How many wavefronts a copy of 128 bytes takes.
    """
    found = Counter()
    for code in map(opcode, loop):
        if product := re.match(r"HGMMA\.(\d+)x(\d+)x(\d+)\.F32\.TF32", code):
            # Four warps read both matrices together, in the one layout that has no conflicts.
            m, n, k = map(int, product.groups())
            found["products"] += (m + n) * k * 4 / WAVEFRONT / 4
        elif code.startswith("LDGSTS"):
            n_bytes = re.search(r"\.(\d+)$", code)
            found["copies"] += conflicts * int(n_bytes[1]) / 32 if n_bytes else 1
        elif code.startswith("LDS"):
            # Squared lengths of rows, which many threads read together.
            found["loads"] += 1
    return found


def conflicts_of_copies(ttgir):
    """Return how many wavefronts a copy of 128 bytes to a tile in shared memory takes, at most.

    So many threads of a warp write at a time as fill 128 bytes.
    """
    layouts = dict(re.findall(r"^(#\w+) = #ttg\.\w+<\{(.*)\}>$", ttgir, flags=re.MULTILINE))
    copies = re.findall(
        r"async_copy_global_to_local .*tensor<(\d+)x(\d+)x!tt\.ptr<f32>, (#\w+)> -> <.*?(#\w+),",
        ttgir,
    )
    most = []
    for n_rows, n_columns, source, target in set(copies):
        each, threads, order = (
            json.loads(re.search(rf"{name} = (\[.*?\])", layouts[source])[1])
            for name in ("sizePerThread", "threadsPerWarp", "order")
        )
        assert (each[0], order) == (1, [1, 0])
        width = int(re.search(r"swizzlingByteWidth = (\d+)", layouts[target])[1])
        banks = []
        for thread in range(32):
            row, column = thread // threads[1], thread % threads[1] * each[1]
            part, column = divmod(column % int(n_columns), width // 4)
            place = (part * int(n_rows) + row) * width + column * 4
            # The hardware's swizzle: 16 bytes change places by the number of their 128 bytes.
            banks.append((place ^ (place // 128 % (width // 16) * 16)) % 128)
        n_at_once = 32 // each[1]
        most += [max(Counter(banks[i : i + n_at_once]).values()) for i in range(0, 32, n_at_once)]
    return max(most)


def describe(capability, width):
    """Return what is asked of a compiled variant."""
    variant = _triton.variant_for(width)
    compiled = compile_for(capability, variant)
    used, code = disassemble(compiled.asm["cubin"])
    loop = loop_over_tiles(code)
    counts = Counter(opcode(text).partition(".")[0] for text in loop)
    found = used | {
        "capability": capability,
        "width": width,
        "shared": compiled.metadata.shared,
        "tf32": bool(re.search(r"(wgmma|mma\.sync|tcgen05\.mma)\S*tf32", compiled.asm["ptx"])),
        "loop": counts,
    }
    if capability == 90 and variant.is_whole:
        found["wavefronts"] = wavefronts(loop, conflicts_of_copies(compiled.asm["ttgir"]))
    return found


if __name__ == "__main__":
    os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp()
    capabilities, widths = json.loads(sys.argv[1])
    for capability in capabilities:
        for width in widths:
            print(json.dumps(describe(capability, width)), flush=True)
