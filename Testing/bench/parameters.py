"""`slicer.parameterNodeWrapper`: typed attributes, kept as text in a real vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import enum
import sys
import types
import typing
from pathlib import Path
from types import ModuleType

import slicer
import vtk
from PySide6.QtWidgets import QWidget

from bench.connectors import connector


class Choice:
    """Annotation: one of these values only."""

    def __init__(self, choices):
        self.choices = list(choices)


class Default:
    """Annotation: the value to start from."""

    def __init__(self, value):
        self.value = value


class Parameter:
    """A typed value in a node: read and written as Slicer's serializers do."""

    def __init__(self, name: str, annotation, default=None):
        self.name, self.kind, extras = name, annotation, ()
        if typing.get_origin(annotation) is typing.Annotated:
            self.kind, *extras = typing.get_args(annotation)
        self.choices = next((extra.choices for extra in extras if isinstance(extra, Choice)), None)
        self.default = next((extra.value for extra in extras if isinstance(extra, Default)), default)
        self.optional = typing.get_origin(self.kind) in (typing.Union, types.UnionType)
        if self.optional:
            self.kind = next(each for each in typing.get_args(self.kind) if each is not type(None))
        self.item = (typing.get_args(self.kind) or (None,))[0]
        if not _known(self.item or self.kind) or (self.item and typing.get_origin(self.kind) is not list):
            raise TypeError(f"Unable to create serializer for {name}: {annotation}")
        if self.default is None and not self.optional:
            self.default = self._start()

    def _start(self):
        if self.is_node:
            return None
        return next(iter(self.kind)) if _is(self.kind, enum.Enum) else self.kind()

    @property
    def is_node(self) -> bool:
        """Whether this refers to a node."""
        return _is(self.kind, slicer.vtkMRMLNode)

    def check(self, value) -> None:
        """Raise for what Slicer's validators refuse."""
        if value is None and (self.optional or self.is_node):
            return
        if value is None:
            raise ValueError(f"{self.name}: value must not be None")
        kinds = list if self.item else (int, float) if self.kind is float else self.kind
        for one, kind in [(value, kinds)] + [(each, self.item) for each in (value if self.item else ())]:
            if not isinstance(one, kind):
                raise TypeError(f"{self.name}: {one!r} is a {type(one).__name__}, not {kind}")
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{self.name}: {value!r} is none of {self.choices}")

    def write(self, node, value) -> None:
        """Put a value into the node."""
        self.check(value)
        with slicer.util.NodeModify(node):
            if self.optional:
                node.SetParameter(self.name + "_given", str(value is not None))
            if self.is_node:
                node.SetParameter(self.name, "")
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            elif self.item:
                node.SetParameter(self.name, str(len(value)))
                for index, each in enumerate(value):
                    node.SetParameter(f"{self.name}_{index}", _text(each))
            else:
                node.SetParameter(self.name, _text(value))

    def read(self, node):
        """The value in the node, the default where there is none yet."""
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        if self.optional and node.GetParameter(self.name + "_given") != "True":
            return None
        text = node.GetParameter(self.name)
        if self.item:
            return [_value(self.item, node.GetParameter(f"{self.name}_{i}")) for i in range(int(text))]
        return _value(self.kind, text)


def _is(kind, base) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _known(kind) -> bool:
    return kind in (int, float, str, bool, Path) or _is(kind, enum.Enum) or _is(kind, slicer.vtkMRMLNode)


def _text(value) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)


def _value(kind, text: str):
    if kind is bool:
        return text == "True"
    return kind[text] if _is(kind, enum.Enum) else kind(text)


def parameterNodeWrapper(cls=None):
    """Class decorator: the annotated names become attributes that live in the node."""
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: Parameter(name, hint, vars(cls).get(name)) for name, hint in hints.items()}
    members = {name: property(_getter(each), _setter(each)) for name, each in parameters.items()}
    return type(
        cls.__name__, (Wrapper, cls), {**members, "allParameters": parameters, "__doc__": cls.__doc__}
    )


def _getter(parameter):
    return lambda self: parameter.read(self.parameterNode)


def _setter(parameter):
    return lambda self, value: parameter.write(self.parameterNode, value)


class Wrapper:
    """What every wrapped class can do."""

    def __init__(self, parameterNode, prefix=None):
        self.parameterNode, self._guis, self._updating = parameterNode, {}, False
        for parameter in self.allParameters.values():
            parameter.read(parameterNode)

    def getValue(self, name):
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name, value):
        self._parameter(name).write(self.parameterNode, value)

    def dataType(self, name):
        return self._parameter(name).kind

    def _parameter(self, name):
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def connectGui(self, gui):
        widgets = gui.findChildren(QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
        named = {widget.property("SlicerParameterName"): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping):
        made = {name: connector(widget, self._parameter(name)) for name, widget in mapping.items()}
        for name, each in made.items():
            each.write(self.getValue(name))
            each.onChanged(lambda name=name, each=each: self._updating or self.setValue(name, each.read()))
        tag = len(self._guis)
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show(made))
        self._guis[tag] = (made, observer)
        return tag

    def disconnectGui(self, tag):
        if tag in self._guis:
            made, observer = self._guis.pop(tag)
            self.RemoveObserver(observer)
            for each in made.values():
                each.onChanged(None)

    def _show(self, made):
        if self._updating:
            return
        self._updating = True
        try:
            for name, each in made.items():
                each.write(self.getValue(name))
        finally:
            self._updating = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, before):
        return self.parameterNode.EndModify(before)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        self.parameterNode.Modified()


def install() -> None:
    """Make `slicer.parameterNodeWrapper` importable."""
    module = ModuleType("slicer.parameterNodeWrapper")
    module.parameterNodeWrapper, module.Choice, module.Default = parameterNodeWrapper, Choice, Default
    module.isParameterNodeWrapper = lambda each: hasattr(each, "allParameters")
    sys.modules[module.__name__] = slicer.parameterNodeWrapper = module
