#!/usr/bin/env bash
# Make the virtual environment that the Makefile's targets run in.
#
# Variables, all optional: PYTHON, VENV, TORCH, OPS, and for compiling CXX,
# WHEELS, MAX_JOBS, FORCE_CUDA; `make help` explains them.  Safe to repeat:
# what is already there is kept, and a finished set-up is recognised by its
# stamp in under a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=${VENV:-.venv}
TORCH=${TORCH:-}
OPS=${OPS:-}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0
export PIP_PROGRESS_BAR=off PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

py=$VENV/bin/python
log=$VENV/setup.log
stamp=$VENV/kd_det.stamp
wish=$VENV/kd_det.wish # the TORCH that was installed last

die() {
    echo "setup: $*" >&2
    exit 2
}

found() { [ -e "$1" ]; } # found PATTERN, all but its wildcards quoted

pinned() { sed -n "s/^$1==//p" constraints.txt; }

. tools/setup_checks.sh
. tools/compile_ops.sh

# ---- checks, before anything is created ----

find_python
check_place
wanted=$({
    cat constraints.txt setup.py tools/*.sh
    echo "$TORCH|$OPS|${FORCE_CUDA:-}|$PWD"
} | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    echo "setup: $VENV is up to date"
    exit
fi
case $OPS in
'') ;;
compiled) check_compiler ;;
*) die "OPS is '$OPS' and can only be 'compiled', for all operators of" \
    "MMCV: leave it out for those of torchvision" ;;
esac
check_disk

# ---- running the stages ----

pip() { "$py" -m pip "$@"; }

heartbeat() { # a sign of life in a long stage
    local minutes
    for ((minutes = 1; ; minutes++)); do
        sleep 60 >/dev/null 2>&1
        echo "      ... $minutes min"
    done
}

pulse=
trap '[ -z "$pulse" ] || kill "$pulse" 2>/dev/null || true
rm -rf "$VENV/tmp"' EXIT

number=0
stage() { # stage 'what, and how long' command...
    local began=$SECONDS before status
    number=$((number + 1))
    echo "[$number/4] $1"
    mkdir -p "$VENV/tmp"
    echo "== $1" >>"$log"
    before=$(wc -l <"$log")
    shift
    heartbeat </dev/null &
    pulse=$!
    set +e # not `|| status=$?`: that would switch -e off inside as well
    (
        set -e
        TMPDIR=$(cd "$VENV/tmp" && pwd) # /tmp may be small
        export TMPDIR
        "$@"
    ) >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    kill "$pulse" 2>/dev/null || true
    wait "$pulse" 2>/dev/null || true
    pulse=
    [ "$status" -eq 0 ] || explain "$(tail -n "+$before" "$log")"
    echo "      done in $((SECONDS - began)) s"
}

explain() { # explain 'what the failed stage printed'
    local missing again='the same command goes on from here'
    missing=$(sed -n "s/.*No matching distribution found for //p
s/ *The user requested (constraint) //p" <<<"$1" | tail -n 1)
    if [ -n "$missing" ]; then
        [ -z "$new" ] || rm -rf "$VENV"
        die "the package index cannot be reached or has no $missing that fits" \
            "Python $(version_of "$python") and constraints.txt: name another" \
            "index, PIP_INDEX_URL=..."
    elif grep -q 'No space left on device' <<<"$1"; then
        die "the disk is full: make room, and $again"
    fi
    tail -n 25 <<<"$1" >&2
    die "the stage above failed (full log: $log); once the cause is gone," \
        "$again"
}

# ---- the stages ----

make_venv() {
    [ -e "$py" ] || "$python" -m venv --without-pip "$VENV"
    pip --version || "$py" -m ensurepip --default-pip
}

install_packages() {
    local pins=constraints.txt force=
    local torch=${TORCH:-torch torchvision -c constraints.txt}
    # Another build of the same version would count as installed.  Forced, pip
    # still removes the old one only when the new one is fetched.
    [ "$(cat "$wish" 2>/dev/null)" = "$TORCH" ] || force=--force-reinstall
    if [ -n "$TORCH$force" ]; then
        # In a step of its own: its options are for torch alone.
        [[ $torch == *torchvision* ]] || torch="$torch torchvision"
        # Unquoted: TORCH may hold several requirements and options.
        (set -f && pip install $force $torch)
    fi
    echo "$TORCH" >"$wish"
    if [ -n "$TORCH" ]; then
        pins=$VENV/constraints.txt
        grep -v -E '^(torch|torchvision|triton|cuda-.*|nvidia-.*)==' \
            constraints.txt >"$pins"
        pip list --format freeze | grep -E '^(torch|torchvision)==' >>"$pins"
    fi
    # One command, so that pip finds all of it before it installs any.
    pip install -c "$pins" -e '.[dev]'
    # Two of the stack's dependencies hold the same cv2, with windows and
    # without.  The one installed last counts, and the one with windows needs
    # system libraries that servers and containers lack.
    pip install -c "$pins" --no-deps --force-reinstall opencv-python-headless
}

torchvision_works() {
    "$py" -c '
import torch, torchvision
torchvision.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)' >>"$log" 2>&1
}

# MMCV without operators, which kd_det then takes from torchvision.  A compiled
# one, of an older set-up or from pip's cache, may fit another torch.
install_plain_mmcv() {
    if found "$VENV"/lib/python3.*/site-packages/mmcv/_ext*; then
        pip install --no-deps --no-cache-dir --force-reinstall \
            "onedl-mmcv==$(pinned onedl-mmcv)"
    fi
    "$py" -m kd_det.compat.environment
}

check() {
    pip check
    # As a script of MMDetection runs, without kd_det.
    "$py" - <<'END'
import torch
from mmcv.ops import nms

boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8]])
_, kept = nms(boxes, torch.tensor([0.8, 0.9]), 0.5)
if kept.tolist() != [1]:
    raise SystemExit(f'nms keeps {kept.tolist()} and not [1]')
END
    "$py" -c 'import cv2, kd_det.registry, mmdet.apis, mmpretrain'
}

new=
[ -d "$VENV" ] || new=yes
fault=$({ mkdir -p "$VENV" && : >>"$log"; } 2>&1) || die "$VENV cannot be" \
    "made (${fault##*: }): choose another place, VENV=..."
echo "setup: making $VENV with $python: about 2 minutes and the downloads"
rm -f "$stamp"
stage 'virtual environment: 5 s' make_venv
stage "${TORCH:-torch}, MMDetection, MMPretrain, mmrazor, tools, kd_det:
      3 GB to fetch, then 2 minutes" install_packages
if [ -z "$OPS" ] && ! torchvision_works; then
    echo "      the operators of torchvision do not load beside this torch," \
        "so those of MMCV are compiled"
    OPS=compiled
    check_compiler
fi
if [ -z "$OPS" ]; then
    stage 'operators: those of torchvision: 10 s' install_plain_mmcv
else
    find_shelf
    stage "operators: those of MMCV, $how_long" install_compiled_mmcv
fi
stage 'check: versions agree, everything imports: 20 s' check
echo "$wanted" >"$stamp"
echo "setup: done in $((SECONDS / 60)) min $((SECONDS % 60)) s"
