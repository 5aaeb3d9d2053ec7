"""The companion's own study on the gardens: recorded, scrutinised, followed."""
