"""The decision: counts of a window in, verdict and trigger out. No IO and no clock."""
