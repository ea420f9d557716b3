#!/bin/sh
# Makes the development environment in the folder $1. A fresh Debian or Ubuntu has Python without venv:
# installed when we may, else the one line to type is printed.
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || {
    echo "CTInvariance needs Python 3.11 or later; $python is $("$python" --version). Try: make PYTHON=python3.12" >&2
    exit 2
}
if [ ! -x "$venv/bin/pip" ]; then
    rm -rf "$venv"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv
        else
            echo "Python's venv is missing. Type: sudo apt-get install python3-venv" >&2
            exit 2
        fi
    fi
    "$python" -m venv "$venv"
fi
install() {
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile "$@"
}
install -r requirements-dev.txt -e '.[dev]'
# A test compares with this package's networks. Its own pins would replace half of the environment.
install --no-deps ldct-benchmark==0.0.15
# Bytecode on all cores, which pip would make on one. It cannot be left out: what some packages are warned of while
# they are compiled would be errors in our tests.
"$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null &
sh tools/qt_libraries.sh "$venv"
wait
