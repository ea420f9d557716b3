"""Parts of the Slicer module: MRML and Qt, never torch."""
