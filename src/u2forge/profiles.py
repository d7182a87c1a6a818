"""The pre- and post-processing profiles: names, and the constants of the official normalisation."""

from __future__ import annotations

from typing import Literal, get_args

PreProfile = Literal["official", "antialias", "rembg"]
PostProfile = Literal["stretch", "raw", "threshold"]
PRE_PROFILES: tuple[PreProfile, ...] = get_args(PreProfile)
POST_PROFILES: tuple[PostProfile, ...] = get_args(PostProfile)

# ImageNet statistics, RGB order. Source: upstream data_loader.py, ToTensorLab (flag 0).
MEAN_RGB = (0.485, 0.456, 0.406)
STD_RGB = (0.229, 0.224, 0.225)
