"""What napari opens and saves through the plugin."""
