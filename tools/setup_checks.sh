# For setup.sh: what must be right before it creates anything.

# Print why the interpreter $1 will not do, or nothing when it will.
python_fault() {
    local answer
    answer=$("$1" -c '
import sys
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    print("it is Python %d.%d" % sys.version_info[:2])
    sys.exit()
from importlib.util import find_spec
fits = find_spec("venv") and find_spec("ensurepip")
print("it fits" if fits else "it lacks the venv module")
' 2>/dev/null </dev/null) || answer=
    [[ $answer == 'it '* ]] || answer='it does not run as Python'
    [ "$answer" = 'it fits' ] || echo "$answer"
}

find_python() {
    local candidate candidates fault faults=
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    else
        candidates=("$py" python3.1{1,2,3,0} python3)
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
    die "kd_det needs CPython 3.10 to 3.13 with the venv module (on Debian" \
        "and Ubuntu python3-venv), but found ${faults:-no Python}: install" \
        "one or name it, PYTHON=..."
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

check_place() {
    local have want
    if [ -n "$(ls -A "$VENV" 2>/dev/null)" ]; then
        [ -e "$VENV/pyvenv.cfg" ] || [ -e "$log" ] || die "$VENV is there" \
            "and is no virtual environment: choose another place, VENV=..."
    fi
    if [ -L "$py" ] || [ -e "$py" ]; then
        have=$(version_of "$py" 2>/dev/null) || have='that does not run'
        want=$(version_of "$python")
        [ "$have" = "$want" ] || die "$VENV holds Python $have and $python" \
            "is Python $want: remove $VENV or choose another place, VENV=..."
    fi
}

# The environment takes 6.5 GB.  While pip installs it needs the packages as
# well, 3.2 GB, and once more if it keeps them for the next environment.
check_disk() {
    local need=10 folder=$VENV free packages
    packages=("$VENV"/lib/python3.*/site-packages)
    if [ -n "$TORCH" ]; then
        need=4 # it may be one for the CPU
    elif [ -e "${packages[0]}/torch-$(pinned torch).dist-info" ] &&
        ! grep -qs . "$wish"; then
        need=1 # most is here already
    fi
    until [ -d "$folder" ]; do folder=$(dirname "$folder"); done
    free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1000000) }')
    [ "$free" -ge "$need" ] || die "$VENV needs $need GB of disk space while" \
        "it is made and $folder has $free GB free: make room or choose" \
        "another place, VENV=..."
    [ "$free" -ge $((need + 4)) ] || export PIP_NO_CACHE_DIR=1
}
