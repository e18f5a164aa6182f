"""Keeping a payload apart from everything that is none of its business."""
