#!/bin/sh
# The system libraries that PySide6 and VTK load, in the environment $1: looked for by trying them. What is
# missing is installed when we may, else the one line to type is printed.
set -eu
python=${1:-.venv}/bin/python
packages="libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 libx11-6 libxrender1 fonts-dejavu-core"

loads() {
    QT_QPA_PLATFORM=offscreen "$python" -c '
import ctypes
from PySide6.QtWidgets import QApplication
from PySide6.QtGui import QFontDatabase
QApplication([])
ctypes.CDLL("libEGL.so.1")
assert QFontDatabase.families(), "no fonts"
' 2>/dev/null
}

"$python" -c 'import PySide6' 2>/dev/null || exit 0 # no Qt, nothing to look for
loads && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086 - a list of names
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
    loads && exit 0
fi
echo "Qt finds not all of its libraries. Type: sudo apt-get install $packages" >&2
exit 2
