"""Sweeps: many runs that differ in their settings, recorded by any executor into one folder."""
