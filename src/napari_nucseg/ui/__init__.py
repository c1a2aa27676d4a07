"""What napari shows: readers, samples and the two panels."""
