"""What Slicer's build and its extensions index read: every file that CMake lists exists, and none is left out.

Slicer's CMake package is not here: a tiny one stands in, whose macros check and note what they are given.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
RAW = "https://raw.githubusercontent.com/CTInvariance/SlicerCTInvariance/main/"
MODULES = "lib/Slicer-5.12/qt-scripted-modules"

CONFIG = """
set(Slicer_FOUND 1)
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/use.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/empty.cmake)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR %s)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR %s)
"""
USE = """
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_SCRIPTS)
    message(FATAL_ERROR "${MY_NAME}: no scripts, or unknown ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(file MATCHES "[.][.]/" OR NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "${MY_NAME}: no ${file}")
    endif()
    file(APPEND ${CMAKE_BINARY_DIR}/listed.txt "${MY_NAME}/${file}\\n")
  endforeach()
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT})
    message(FATAL_ERROR "no test ${MY_SCRIPT}")
  endif()
  file(APPEND ${CMAKE_BINARY_DIR}/listed.txt "test ${MY_SCRIPT}\\n")
endmacro()
"""


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of the extension, configured against the stand-in for Slicer."""
    cmake = shutil.which("cmake")
    if not cmake or not (shutil.which("cc") and shutil.which("c++")):
        pytest.skip("cmake or a compiler is not installed")
    fake, build = tmp_path_factory.mktemp("Slicer"), tmp_path_factory.mktemp("build")
    (fake / "SlicerConfig.cmake").write_text(CONFIG % (MODULES, MODULES))
    (fake / "use.cmake").write_text(USE)
    (fake / "empty.cmake").touch()
    command = [cmake, "-S", str(REPOSITORY), "-B", str(build), f"-DSlicer_DIR={fake}", "-DBUILD_TESTING=ON"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return build


def python_files(folder: str) -> set[str]:
    root = REPOSITORY / folder
    return {f"{folder}/{path.relative_to(root).as_posix()}" for path in root.rglob("*.py")}


def test_every_script_is_listed(configured):
    listed = set((configured / "listed.txt").read_text().splitlines())
    scripts = {line for line in listed if line.endswith(".py") and not line.startswith("test ")}
    assert scripts == python_files("CTInvariance") | python_files("CTInvarianceLib")
    assert "CTInvarianceLib/config/presets/quick.toml" in listed
    assert "test CTInvarianceSelfTest.py" in listed


def test_resources_lie_beside_the_module(configured):
    resources = configured / MODULES / "Resources"
    assert (resources / "requirements.txt").is_file()
    assert (resources / "Icons" / "CTInvariance.png").is_file()
    forms = {path.name for path in (REPOSITORY / "Resources" / "UI").glob("*.ui")}
    assert {path.name for path in (resources / "UI").glob("*.ui")} == forms


def test_they_are_installed_there_too(configured, tmp_path):
    command = ["cmake", "--install", str(configured), "--prefix", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    copied = {path.relative_to(configured).as_posix() for path in (configured / MODULES).rglob("*.*")}
    assert copied == {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*") if path.is_file()
    }


def extension() -> dict[str, str]:
    text = (REPOSITORY / "CMakeLists.txt").read_text("utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]+)"\)$', text, re.MULTILINE))


def test_what_the_extensions_manager_shows_is_there():
    told = extension()
    assert set(told) == {
        "HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS", "KEYWORDS",
    }  # fmt: skip
    assert told["DEPENDS"] == "PyTorch"
    for url in (told["ICONURL"], *told["SCREENSHOTURLS"].split()):
        assert url.startswith(RAW)
        assert (REPOSITORY / url.removeprefix(RAW)).is_file(), url


def test_the_entry_of_the_index_follows_its_schema():
    """Keys and types of slicer-extension-catalog-entry-schema-v1.0.2.json, which allows no others."""
    types = {
        "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str,
        "build_dependencies": list, "dicom_support_rule": str, "build_subdirectory": str, "enabled": bool,
        "tier": int,
    }  # fmt: skip
    entry = json.loads((REPOSITORY / "CTInvariance.json").read_text("utf-8"))
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert all(isinstance(value, types[key]) for key, value in entry.items())
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["build_dependencies"] == extension()["DEPENDS"].split()
    assert entry["scm_url"].removesuffix(".git") == extension()["HOMEPAGE"]
    assert 1 <= entry["tier"] <= 5


def test_the_icon_is_drawn_by_its_script(monkeypatch, tmp_path):
    """The picture that ships is what tools/icon.py draws; 128 pixels, as the index asks."""
    gui = pytest.importorskip("PySide6.QtGui")
    pytest.importorskip("PySide6.QtSvg")
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))
    import icon

    assert icon.svg() == (icon.ICONS / "CTInvariance.svg").read_text("utf-8")
    icon.render(icon.svg(), 128, tmp_path / "icon.png")
    shipped, drawn = (
        gui.QImage(str(path)) for path in (icon.ICONS / "CTInvariance.png", tmp_path / "icon.png")
    )
    assert (shipped.width(), shipped.height()) == (128, 128)
    corners = [(0, 0), (127, 0), (0, 127), (127, 127)]
    assert all(shipped.pixelColor(x, y).alpha() == 0 for x, y in corners)
    different = [
        (x, y)
        for x in range(0, 128, 4)
        for y in range(0, 128, 4)
        if abs(shipped.pixelColor(x, y).green() - drawn.pixelColor(x, y).green()) > 16
    ]
    assert not different  # other versions of Qt may smooth edges a little otherwise
