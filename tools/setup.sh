#!/usr/bin/env bash
# Make the virtual environment that the Makefile's targets run in.
#
# Variables, all optional: PYTHON, VENV, TORCH, WHEELS, MAX_JOBS, FORCE_CUDA;
# `make help` explains them.  Safe to repeat: what is already there is kept,
# and a finished set-up is recognised by its stamp in under a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pinned_torch=$(grep '^torch==' constraints.txt)
mmcv=$(sed -n 's/^onedl-mmcv==//p' constraints.txt)

VENV=${VENV:-.venv}
TORCH=${TORCH:-$pinned_torch}
WHEELS=${WHEELS:-${XDG_CACHE_HOME:-${HOME:-$PWD}/.cache}/kd_det/wheels}
export MAX_JOBS=${MAX_JOBS:-$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)}
# Compiling took 16 minutes of processor time where it was measured.
minutes=$((16 / MAX_JOBS + 1))
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0
export PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

py=$VENV/bin/python
log=$VENV/setup.log
pins=$VENV/constraints.txt
stamp=$VENV/kd_det.stamp

die() {
    echo "setup: $*" >&2
    exit 2
}

# ---- checks, before anything is created ----

# Print why the interpreter $1 will not do, or nothing when it will.
python_fault() {
    "$1" -c '
import sys
if sys.version_info[:2] not in ((3, 10), (3, 11), (3, 12)):
    print("it is Python %d.%d" % sys.version_info[:2])
    sys.exit()
import importlib.util as util, os, sysconfig
if not (util.find_spec("venv") and util.find_spec("ensurepip")):
    print("it lacks the venv module")
elif not os.path.exists(sysconfig.get_path("include") + "/Python.h"):
    print("it lacks its C headers")
' 2>/dev/null || echo 'it does not run'
}

find_python() {
    local candidate candidates fault faults=
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    else
        candidates=("$py" python3.11 python3.12 python3.10 python3)
    fi
    for candidate in "${candidates[@]}"; do
        # A name that is not there says nothing; one that was asked for does.
        [ -n "${PYTHON:-}" ] || command -v "$candidate" >/dev/null || continue
        fault=$(python_fault "$candidate")
        if [ -z "$fault" ]; then
            python=$candidate
            return
        fi
        faults="$faults${faults:+; }$candidate ($fault)"
    done
    die "kd_det needs CPython 3.10, 3.11 or 3.12 with the venv module and" \
        "the C headers (on Debian and Ubuntu python3-venv and python3-dev)," \
        "but found ${faults:-no Python}: install one or name it, PYTHON=..."
}

find_compiler() {
    local candidate candidates=(c++ g++ clang++)
    [ -z "${CXX:-}" ] || candidates=("$CXX")
    for candidate in "${candidates[@]}"; do
        # Unquoted: CXX may hold a launcher and flags ('ccache g++').
        if echo '#include <vector>' | $candidate -std=c++17 -x c++ \
            -fsyntax-only - >/dev/null 2>&1; then
            export CXX=$candidate
            return
        fi
    done
    die "the op library is compiled here and no C++17 compiler works, tried" \
        "${candidates[*]}: install one (on Debian and Ubuntu g++) or name" \
        "it, CXX=..."
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

find_python
if [ -e "$VENV" ] && [ -n "$(ls -A "$VENV")" ]; then
    [ -e "$VENV/pyvenv.cfg" ] || [ -e "$log" ] || die "$VENV is there and" \
        "is no virtual environment: choose another place, VENV=..."
fi
if [ -L "$py" ] || [ -e "$py" ]; then
    have=$(version_of "$py" 2>/dev/null) || have='that does not run'
    want=$(version_of "$python")
    [ "$have" = "$want" ] || die "$VENV holds Python $have and $python is" \
        "Python $want: remove $VENV or choose another place, VENV=..."
fi

wanted=$({
    cat constraints.txt setup.py tools/setup.sh
    echo "$TORCH|${FORCE_CUDA:-}|$PWD"
} | "$python" -c '
import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    echo "setup: $VENV is up to date"
    exit
fi
find_compiler

# ---- running the stages ----

pip() { "$py" -m pip "$@"; }

heartbeat() { # a sign of life in a long stage
    local minutes=0
    while sleep 60 >/dev/null 2>&1; do
        minutes=$((minutes + 1))
        echo "      ... $minutes min"
    done
}

pulse=
trap '[ -z "$pulse" ] || kill "$pulse" 2>/dev/null || true' EXIT

number=0
announce() {
    number=$((number + 1))
    echo "[$number/7] $1"
}

stage() { # stage 'what, and how long' command...
    local began=$SECONDS status
    announce "$1"
    echo "== $1" >>"$log"
    shift
    heartbeat </dev/null &
    pulse=$!
    set +e # not `|| status=$?`: that would switch -e off inside as well
    (
        set -e
        "$@"
    ) >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    kill "$pulse" 2>/dev/null || true
    wait "$pulse" 2>/dev/null || true
    pulse=
    if [ "$status" -ne 0 ]; then
        tail -n 25 "$log" >&2
        die "the stage above failed (full log: $log); once the cause is" \
            "gone, the same command goes on from here"
    fi
    echo "      done in $((SECONDS - began)) s"
}

# ---- the stages ----

make_venv() {
    [ -e "$py" ] || "$python" -m venv --without-pip "$VENV"
    pip --version || "$py" -m ensurepip --default-pip
}

install_build_tools() {
    # numpy and pillow, so that an index which TORCH names need not have the
    # versions pinned here.
    pip install -c constraints.txt \
        setuptools wheel ninja packaging click numpy pillow
}

install_torch() {
    local wish=$TORCH before
    before=$(cat "$VENV/kd_det.torch" 2>/dev/null) || before=$TORCH
    # Another build of the same version would count as installed.
    if [ "$before" != "$TORCH" ]; then
        pip uninstall -y torch torchvision
    fi
    echo "$TORCH" >"$VENV/kd_det.torch"
    case $wish in *torchvision*) ;; *) wish="$wish torchvision" ;; esac
    [ "$TORCH" != "$pinned_torch" ] || wish="$wish -c constraints.txt"
    set -f # unquoted: TORCH may hold several requirements and pip options
    pip install $wish
}

# Write the pins with the torch that is here now, which nothing that follows
# may replace; print what the op library must fit: this Python, this torch,
# GPU kernels or not.
inspect_torch() {
    "$py" - "$pins" <<'END'
import os
import sys
from importlib.metadata import version

import torch
from torch.utils.cpp_extension import CUDA_HOME, ROCM_HOME

ours = ('torch', 'torchvision')
with open('constraints.txt') as file, open(sys.argv[1], 'w') as pins:
    for line in file:
        if line.split('==')[0] not in ours:
            pins.write(line)
    for name in ours:
        pins.write(f'{name}=={version(name)}\n')

gpu = torch.cuda.is_available()
toolkit = ROCM_HOME if torch.version.hip else CUDA_HOME
kernels = os.environ.get('FORCE_CUDA') == '1' or (gpu and toolkit)
python = 'cp{}{}'.format(*sys.version_info)
print(f'{python}-{torch.__version__}' + ('-gpu' if kernels else ''))
print('without' if gpu and not kernels else 'as is')
END
}

build_ops() {
    mkdir -p "$shelf"
    # Beside its final place, so that the move is atomic.
    partial=$shelf/partial.$$
    trap 'rm -rf "$partial"' EXIT
    # No pip cache, no ready-made wheel: neither knows which torch it fits.
    pip wheel -v --no-cache-dir --no-binary onedl-mmcv --no-deps \
        --no-build-isolation -w "$partial" "onedl-mmcv==$mmcv"
    mv "$partial"/onedl_mmcv-*.whl "$shelf/"
}

install_ops() {
    pip install --no-deps --force-reinstall "$shelf"/onedl_mmcv-"$mmcv"-*.whl
}

install_rest() {
    pip install -c "$pins" --no-build-isolation -e '.[dev]'
    # Two of the stack's dependencies hold the same cv2, with windows and
    # without.  The one installed last counts, and the one with windows needs
    # system libraries that servers and containers lack.
    pip install -c "$pins" --no-deps --force-reinstall opencv-python-headless
}

check() {
    pip check
    "$py" - "$pins" "$shelf" <<'END'
import sys
from importlib.metadata import version

import cv2, mmdet, mmpretrain, torch
from mmcv.ops import nms

import kd_det

with open(sys.argv[1]) as pins:
    for line in pins:
        name, _, pin = line.strip().partition('==')
        if name in ('torch', 'torchvision') and version(name) != pin:
            sys.exit(f'{name} {pin} was replaced by {version(name)}')
boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]])
_, kept = nms(boxes, torch.tensor([0.8, 0.9]), 0.5)
if kept.tolist() != [1]:
    sys.exit(f'nms keeps {kept.tolist()} and not [1]: remove '
             f'{sys.argv[2]} and set up again')
END
}

echo "setup: making $VENV with $python: about 2 minutes and the downloads," \
    "and the first time $minutes more to compile the op library"
rm -f "$stamp"
mkdir -p "$VENV"
stage 'virtual environment: 5 s' make_venv
stage 'build tools: 20 s' install_build_tools
stage "$TORCH: 200 MB to fetch for the CPU, several GB for CUDA" install_torch

facts=$(inspect_torch) || die "torch is installed and cannot be imported"
shelf=$WHEELS/$(sed -n 1p <<<"$facts")
visible=
if [ "$(sed -n 2p <<<"$facts")" = without ]; then
    echo "      torch sees a GPU and no toolkit (nvcc) to compile for it, so" \
        "make demo and make test will use the CPU; for the GPU install the" \
        "toolkit, remove $stamp and set up again"
    visible='CUDA_VISIBLE_DEVICES='
    export CUDA_VISIBLE_DEVICES=
fi
if compgen -G "$shelf/onedl_mmcv-$mmcv-*.whl" >/dev/null; then
    announce "op library onedl-mmcv $mmcv: found in $shelf"
else
    stage "op library onedl-mmcv $mmcv: compiling, about $minutes minutes with
      MAX_JOBS=$MAX_JOBS, several times that with GPU kernels; it is kept in
      $shelf" build_ops
fi
stage 'op library into the environment: 5 s' install_ops
stage 'MMDetection, MMPretrain, mmrazor, tools, kd_det: 1 minute' install_rest
stage 'check: versions agree, everything imports: 20 s' check

# The Makefile's recipes run under these settings.
echo "$visible" >"$VENV/kd_det.env"
echo "$wanted" >"$stamp"
echo "setup: done in $((SECONDS / 60)) min $((SECONDS % 60)) s"
