# For setup.sh: MMCV with its own operators, compiled here or by an earlier
# set-up.  Needs a C++ compiler, Python's C headers and, on a machine with a
# GPU, the CUDA or ROCm toolkit that torch was made for.

mmcv=$(pinned onedl-mmcv)
WHEELS=${WHEELS:-${XDG_CACHE_HOME:-${HOME:-$PWD}/.cache}/kd_det/wheels}
export MAX_JOBS=${MAX_JOBS:-$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)}

check_compiler() {
    local candidate candidates=(c++ g++ clang++)
    "$python" -c '
import os, sysconfig
os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
        die "MMCV's operators are compiled and $python lacks its C headers:" \
            "install them (on Debian and Ubuntu python3-dev) or name another" \
            "Python, PYTHON=..."
    [ -z "${CXX:-}" ] || candidates=("$CXX")
    for candidate in "${candidates[@]}"; do
        # Unquoted: CXX may hold a launcher and flags ('ccache g++').
        if echo '#include <concepts>' | $candidate -std=c++20 -x c++ \
            -fsyntax-only - >/dev/null 2>&1; then
            export CXX=$candidate
            return
        fi
    done
    die "MMCV's operators are compiled and no C++20 compiler works, tried" \
        "${candidates[*]}: install one (on Debian and Ubuntu g++) or name" \
        "it, CXX=..."
}

# Set the folder of the wheels for this Python and torch, with GPU kernels or
# without, and how long installing from there takes.
find_shelf() {
    local fit
    fit=$("$py" -c '
import os, sys
import torch
from torch.utils.cpp_extension import CUDA_HOME, ROCM_HOME

gpu = torch.cuda.is_available() or os.environ.get("FORCE_CUDA") == "1"
if gpu and not (ROCM_HOME if torch.version.hip else CUDA_HOME):
    sys.exit(1)
python = "cp{}{}".format(*sys.version_info)
print(f"{python}-{torch.__version__}" + ("-gpu" if gpu else ""))
' 2>>"$log") || die "MMCV's operators are compiled, and there is a GPU without" \
        "a toolkit (nvcc) to compile for it: install the toolkit or hide the" \
        "GPU, CUDA_VISIBLE_DEVICES="
    shelf=$WHEELS/$fit
    if found "$shelf/onedl_mmcv-$mmcv"-*.whl; then
        how_long="from $shelf: 5 s"
    else
        # Compiling took 16 minutes of processor time where it was measured.
        how_long="compiling, about $((16 / MAX_JOBS + 1)) minutes with
      MAX_JOBS=$MAX_JOBS, several times that with GPU kernels; kept in
      $shelf"
    fi
}

install_compiled_mmcv() {
    local source=$TMPDIR/onedl_mmcv-$mmcv
    if ! found "$shelf/onedl_mmcv-$mmcv"-*.whl; then
        pip install -c constraints.txt ninja setuptools wheel packaging
        mkdir -p "$shelf"
        # Beside its final place, so that the move is atomic.
        partial=$shelf/partial.$$
        trap 'rm -rf "$partial"' EXIT
        # The source: no ready-made wheel knows the torch that it has to fit.
        pip download --no-binary onedl-mmcv --no-deps --no-build-isolation \
            -d "$TMPDIR" "onedl-mmcv==$mmcv"
        tar -xzf "$source.tar.gz" -C "$TMPDIR"
        # MMCV demands C++17 and the headers of torch may need C++20.  Where no
        # standard is named, torch adds the one that it needs.
        sed -i.bak "s/'-std=c++17'//" "$source/setup.py"
        pip wheel -v --no-deps --no-build-isolation -w "$partial" "$source"
        mv "$partial"/onedl_mmcv-*.whl "$shelf/"
    fi
    pip install --no-deps --force-reinstall "$shelf"/onedl_mmcv-"$mmcv"-*.whl
}
