"""From names, settings and folders to detectors."""

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from endline.backbones.pyramids import PyramidSettings
from endline.compute import CPU, Compute
from endline.detectors.base import Detector
from endline.errors import EndlineError, nearest
from endline.field_types import check_fields

OURS = "endline.detectors."
# What comes of a file that is missing, cut or edited: LookupError for a key, ArithmeticError for an infinite number,
# RecursionError for a thousand brackets.
DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError)


def detector_class(name: str, settings: Mapping[str, Mapping[str, Any]]) -> type[Detector[Any]]:
    """Class of the detector of a name; arguments and errors as `build_detector`."""
    if name not in settings:
        raise EndlineError(f"There is no detector '{name}': {nearest(str(name), settings)}")
    return _class_of(settings[name]["type"])


def build_detector(name: str, settings: Mapping[str, Mapping[str, Any]], compute: Compute = CPU) -> Detector[Any]:
    """Detector of a name, as the parameters describe it.

    Args:
        name: a key of `settings`.
        settings: the content of `parameters/detectors.yml`: name -> `type:` (class path) and the settings. The class
            may be a user's own.
        compute: device and precision.

    Raises:
        EndlineError: for a name that is not there, a class that cannot be imported, an unknown setting, or a setting of
            the wrong type.

    Example:
        >>> settings = {"mine": {"type": "endline.detectors.pooled.gaussian.Gaussian", "shrinkage": 0.1}}
        >>> build_detector("mine", settings).config
        GaussianConfig(shrinkage=0.1)
    """
    cls = detector_class(name, settings)
    return _create(cls, {key: value for key, value in settings[name].items() if key != "type"}, compute)


def load_detector(folder: Path, compute: Compute = CPU) -> Detector[Any]:
    """Fitted detector of a folder that `Detector.save` wrote.

    A folder may come from anywhere, so it imports nothing but modules of `endline.detectors`: a user's own class must
    have been imported before.

    Args:
        folder: with `config.json` and `weights.safetensors`.
        compute: device and precision.

    Raises:
        EndlineError: when a file is missing or damaged, or names another class.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> detector, folder = Gaussian(GaussianConfig()), Path(tempfile.mkdtemp())
        >>> features = FeatureSet({"scale_0": np.random.default_rng(0).standard_normal((9, 3, 4, 4)).astype("f4")})
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.save(folder)
        >>> load_detector(folder).config == detector.config
        True
    """
    try:
        about = json.loads((folder / "config.json").read_text())
        detector = _create(_known_class(str(about["type"])), about["config"], compute)
        shapes = {str(name): tuple(shape) for name, shape in about["shapes"].items()}
        detector.restore(folder, shapes, int(about["samples"]), _pyramid(about["pyramid"]))
    except (*DAMAGE, AttributeError, RuntimeError, SafetensorError, EndlineError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise EndlineError(f"The detector in {folder} cannot be read ({said}): fit it again.") from error
    return detector


def _pyramid(settings: Mapping[str, Any] | None) -> PyramidSettings | None:
    if settings is None:
        return None
    pyramid = PyramidSettings(**settings)
    check_fields(pyramid)
    return pyramid


def _known_class(path: str) -> type[Detector[Any]]:
    """Class of a saved detector, one of ours or one that is imported already."""
    if path not in Detector.known and path.startswith(OURS):
        try:
            import_module(path.rpartition(".")[0])
        except ImportError as error:
            raise ValueError(f"there is no detector class {path}") from error
    if path not in Detector.known:
        raise ValueError(f"{path} is no known detector class; one of your own must be imported first")
    return Detector.known[path]


def _class_of(path: str) -> type[Detector[Any]]:
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise EndlineError(f"The detector class '{path}' cannot be found ({error}): correct its `type:`.") from error
    if not (isinstance(cls, type) and issubclass(cls, Detector)):
        raise EndlineError(f"'{path}' is not a Detector: correct its `type:`.")
    return cls


def _create(cls: type[Detector[Any]], settings: Mapping[str, Any], compute: Compute) -> Detector[Any]:
    known = {field.name for field in fields(cls.Config)}
    if unknown := set(settings) - known:
        raise EndlineError(
            f"{cls.__name__} has no setting {sorted(unknown)}: its settings are {', '.join(sorted(known))}."
        )
    config = cls.Config(**{key: _as_tuples(value) for key, value in settings.items()})
    try:
        check_fields(config)
    except TypeError as error:
        raise EndlineError(f"A setting of {cls.__name__} has the wrong type ({error}): correct it.") from error
    return cls(config, compute)


def _as_tuples(value: Any) -> Any:
    """Lists of a file, nested ones too, as the tuples that a frozen dataclass holds."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
