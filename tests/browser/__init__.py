"""A package, so that what is set up for it, such as a browser, ends with its tests."""
