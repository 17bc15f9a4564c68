"""The few Textual widgets: the canvas that pages are shown on, and the boxes that ask."""
