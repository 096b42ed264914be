"""What a report says: plain data from an analysis. No IO, no clock."""
