"""What is compiled for AVX512, with vectors as long, for a processor without: each is two of eight."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bertsmith.model.native import files


def compile_with_long_vectors(name, folder):
    """`native/<name>.c` as a library, or the test is skipped; its path."""
    compiler, made = shutil.which("cc"), folder / f"{name}.so"
    if compiler is None:
        pytest.skip("there is no C compiler")
    source = Path(files.__file__).with_name(f"{name}.c")
    flags = "-std=gnu11 -O1 -mavx2 -mfma -mf16c -fopenmp -fno-math-errno -Wno-psabi -DLANES=16 -shared -fPIC"
    if subprocess.run([compiler, *flags.split(), str(source), "-o", str(made)]).returncode:
        pytest.skip("the C compiler has no OpenMP, or is for another processor")
    return str(made)
