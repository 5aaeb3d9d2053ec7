"""Advice for a folder of images, from the published evidence."""
