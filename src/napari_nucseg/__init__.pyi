# ruff: noqa: TID252 - lazy_loader reads this file, and takes relative imports alone
from .io.fields import Dataset as Dataset
from .io.fields import Field as Field
from .metrics.score import Score as Score
from .metrics.summary import Summary as Summary
from .metrics.summary import summarise as summarise
from .public import models as models
from .public import open as open  # noqa: A004 - as in imageio and tifffile it is called ns.open
from .public import sample as sample
from .public import score as score
from .public import segment as segment
from .segmenters.api import Segmentation as Segmentation
from .segmenters.api import VolumeSegmentation as VolumeSegmentation
from .segmenters.model import Model as Model

__version__: str
__all__: list[str]
