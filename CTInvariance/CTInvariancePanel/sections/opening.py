"""Series that are loaded one after the other, so that people see which one the window stands still for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import CTInvarianceError

_SHOWN_MS = 30  # until what is said is on the screen: loading itself blocks


class Opening:
    """Loads volumes; what cannot be loaded is left out.

    Args:
        entries: key and title of each.
        load: from a key to a volume node.
        say: shows a sentence.
        done: gets the nodes, and a sentence for each that could not be loaded.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, str]],
        load: Callable[[str], Any],
        say: Callable[[str], object],
        done: Callable[[list[Any], list[str]], object],
    ) -> None:
        self._entries, self._load, self._say, self._done = list(entries), load, say, done
        self._nodes: list[Any] = []
        self._problems: list[str] = []
        self._next = 0
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SHOWN_MS)
        self._timer.timeout.connect(self._open)
        self._announce()

    def stop(self) -> None:
        """Load no more, call nobody."""
        self._timer.stop()

    def _announce(self) -> None:
        count, title = len(self._entries), self._entries[self._next][1]
        text = _("Loading {} …").format(title)
        if count > 1:
            text = _("Loading {} of {}: {} …").format(self._next + 1, count, title)
        self._say(text)
        self._timer.start()

    def _open(self) -> None:
        key, title = self._entries[self._next]
        try:
            with slicer.util.WaitCursor():
                self._nodes.append(self._load(key))
        except CTInvarianceError as error:
            self._problems.append(str(error))
        except (
            Exception
        ) as error:  # Slicer's readers raise what they like; the others are loaded all the same
            self._problems.append(f"{title}: {type(error).__name__}: {error}")
        self._next += 1
        if self._next < len(self._entries):
            self._announce()
        else:
            self._done(self._nodes, self._problems)
