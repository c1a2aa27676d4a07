"""Files in and out; nothing here knows of scores or networks.

Of others' packages, images and labels need numpy, scipy, scikit-image, tifffile, Pillow,
imagecodecs, roifile and networkx, downloads need requests, urllib3 and filelock. Tables as Parquet
need pyarrow and OME-Zarr needs zarr, which are imported when one is written or read. What files say
of how labels were made is checked by pydantic.
"""
