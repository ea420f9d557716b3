"""What can only be tested inside Slicer, by CTest in a build of the extension; pytest does not collect it."""

import sys
import unittest

import slicer
from DICOMLib import DICOMUtils


class CTInvarianceSelfTest(unittest.TestCase):
    """The module as Slicer loads it."""

    def test_the_panel_opens_without_torch(self):
        """Opening it costs no import of torch, and its icon and widgets are found."""
        before = "torch" in sys.modules
        slicer.util.selectModule("CTInvariance")
        assert slicer.modules.ctinvariance.widgetRepresentation() is not None
        assert not slicer.modules.ctinvariance.icon.isNull()
        assert ("torch" in sys.modules) == before

    def test_an_empty_database_is_an_error_that_helps(self):
        """The real database behaves as the stand-in of the other tests does."""
        from CTInvariancePanel.dicom import database

        with DICOMUtils.TemporaryDICOMDatabase() as db:
            assert database.readPatients(db) == ()
            assert "empty" in database.whyEmpty(db)
        assert "not open" in database.whyEmpty(None)

    def test_what_is_missing_is_known(self):
        """requirements.txt is found in the installed tree."""
        from CTInvariancePanel.setup import install

        assert install.check()[0].name == "torch"
        assert len(install.check()) > 1
