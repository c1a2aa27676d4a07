"""Files in and out; nothing here knows of scores or networks.

Of others' packages, images and labels need numpy, scipy, scikit-image, tifffile, Pillow,
imagecodecs, roifile and networkx, downloads need requests, urllib3 and filelock. Tables as Parquet
need pyarrow, which is imported when one is written; OME-Zarr needs zarr in the same way. What files
say of how labels were made is checked by pydantic.
"""
