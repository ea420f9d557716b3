"""Makes PySide6's classes read as PythonQt's do: properties, strictness, signals.

The classes are changed in place, not subclassed, so that objects that Qt makes itself (the line edit inside a
spin box, everything that a .ui file holds) behave alike. What PythonQt refuses is refused here too.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import sys

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from shiboken6 import Shiboken

MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
# Virtual functions that C++ looks up by name: a property of that name would call itself without end.
VIRTUAL = {"sizeHint", "minimumSizeHint"}
# What Qt 5 has as a method only.
METHODS = {("QLayout", "contentsMargins")}


def patch() -> None:
    """Change PySide6's classes for the rest of this process."""
    _keep_none()
    classes = [cls for module in MODULES for cls in vars(_loaded(module)).values() if inspect.isclass(cls)]
    objects = [cls for cls in classes if issubclass(cls, QtCore.QObject)]
    originals = {cls: dict(vars(cls)) for cls in objects}
    for cls in objects:
        _add_properties(cls, originals)
    setattr_ = Shiboken.Object.__setattr__
    for cls in (cls for cls in classes if issubclass(cls, Shiboken.Object)):
        cls.__setattr__ = _strict_setattr(setattr_)
    for cls in classes:
        if "__init__" in vars(cls) and (cls in originals or cls.__name__.endswith("WidgetItem")):
            cls.__init__ = _positional_only(cls.__init__, cls.__name__)
        if "exec" in vars(cls):
            cls.exec_ = cls.exec
    QtCore.QObject.name = QtCore.QObject.objectName
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.SignalInstance.connect = _strict_connect(QtCore.SignalInstance.connect)
    QtCore.QIODevice.write = _bytes_only(QtCore.QIODevice.write)
    QtWidgets.QLayout.__bool__ = lambda self: self.count() > 0
    QtUiTools.QUiLoader.load = _without_attributes(QtUiTools.QUiLoader.load)


def _keep_none() -> None:
    """PySide6 6.12 gives None away with every call, which ends Python below 3.12, where None is counted."""
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def _loaded(module):
    for name in dir(module):  # PySide6 makes its classes when they are first asked for
        getattr(module, name)
    return module


def _add_properties(cls, originals) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        method = originals[cls].get(name)
        inherited = index < meta.propertyOffset() and method is None
        if (
            inherited
            or name in VIRTUAL
            or isinstance(method, staticmethod)
            or (cls.__name__, name) in METHODS
        ):
            continue
        setattr(cls, name, property(method or _reader(cls, name), _writer(cls, meta.property(index))))


def _reader(cls, name: str):
    """Read a property that has no method of its own name: isEnabled(), or by its name alone."""
    upper = name[0].upper() + name[1:]
    for prefix in ("is", "has"):
        if callable(method := getattr(cls, prefix + upper, None)):
            return method
    return lambda self: self.property(name)


def _writer(cls, description):
    name = description.name()
    method = getattr(cls, "set" + name[0].upper() + name[1:], None)
    if not description.isWritable():
        return None

    def write(self, value):
        if method is not None:
            method(self, value)
        elif not self.setProperty(name, value):
            raise AttributeError(f"Property '{name}' of type '{cls.__name__}' does not accept {value!r}")

    return write


_loading = False


def _strict_setattr(original):
    @functools.wraps(original)
    def setattr_(self, name, value):
        member = inspect.getattr_static(type(self), name, None)
        if isinstance(member, QtCore.Property):
            member.fset(self, value)  # Shiboken's own __setattr__ would hide it behind an attribute
            return
        own = hasattr(member, "__set__") or isinstance(
            value, QtCore.SignalInstance
        )  # PySide6 keeps signals so
        if not own and _made_by_cpp(type(self), name):
            if _loading:
                return
            raise AttributeError(
                f"'{name}' is no property of {type(self).__name__} that can be set"
                " (PythonQt takes new attributes on Python's own subclasses only)"
            )
        original(self, name, value)

    return setattr_


def _made_by_cpp(cls, name: str) -> bool:
    """Whether Slicer has this class from C++; the bench's stand-ins for such keep their own in `_names`."""
    return cls.__module__.startswith("PySide6.") or (cls.__module__.startswith("bench.") and name[0] != "_")


def _positional_only(original, name: str):
    @functools.wraps(original)
    def init(self, *args, **keywords):
        if keywords:
            raise TypeError(f"{name}() takes no keyword arguments in PythonQt: {', '.join(keywords)}")
        original(self, *args)

    return init


def _strict_connect(original):
    def connect(self, slot, *args):
        if isinstance(slot, functools.partial):
            raise TypeError("PythonQt passes a functools.partial the wrong arguments: connect a function")
        if inspect.isfunction(slot) or inspect.ismethod(slot):
            parameters = inspect.signature(slot).parameters.values()
            if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
                raise TypeError(f"PythonQt passes no arguments to *args: {slot.__qualname__}")
            required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
            if " finished(" in repr(self) and len(required) > 1:
                raise TypeError("QProcess.finished passes one argument in Qt 5: read exitStatus() instead")
        return original(self, slot, *args)

    return connect


def _bytes_only(original):
    def write(self, data, *args):
        if not isinstance(data, bytes | QtCore.QByteArray):
            raise TypeError(f"write() takes bytes; PythonQt writes the repr of a {type(data).__name__}")
        return original(self, data, *args)

    return write


def _without_attributes(original):
    """PySide6 hangs every child of a .ui file on its root as an attribute; PythonQt does not."""

    def load(self, *args):
        global _loading  # noqa: PLW0603
        _loading = True
        try:
            return original(self, *args)
        finally:
            _loading = False

    return load
